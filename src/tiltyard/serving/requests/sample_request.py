"""Requests for samples of a generative model, and for the codes of rows: parsing within bounds, and the responses."""

from __future__ import annotations

import base64
import io
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import RequestError, format_value
from tiltyard.modeling import deadline
from tiltyard.modeling.inference import codes
from tiltyard.modeling.problems.sampling import Facts
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request
from tiltyard.serving.requests.json_body import decode
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage

SAMPLE, ENCODE = "sample", "encode"  # protocols of these requests
MAX_SEED = 2**53 - 1  # the largest integer that every JSON reader keeps
LARGEST = 1000.0  # number of a code, either sign
EXPECTED = 'expected {"count": 16, "seed": 0}, and optionally "class" or "code"'
KEYS = ("count", "seed", "class", "code")
DEFAULT_COUNT = 16


@dataclass(frozen=True)
class SampleRequest:
    """The codes to decode, and the index of the class of each, if the model is conditional."""

    codes: Array
    labels: Array | None


def respond(model: LoadedModel, request: RequestMessage) -> ResponseMessage:
    """Return the response to a request for samples or codes; raise RequestError if it is invalid."""
    start = time.thread_time()
    listed: list[Any]
    if request.protocol == ENCODE:
        name, listed = "codes", encode(model, predict_request.parse(model, request).request.instances)
    else:
        name, listed = "samples", samples(model, parse(model, decode(request.body)))
    body = predict_request.json_encoder.encode({name: listed, "model": model.task, "version": model.version})
    return ResponseMessage(body, len(listed), 1000 * (time.thread_time() - start))


def parse(model: LoadedModel, content: object) -> SampleRequest:
    """Return the codes that a request names or draws by its seed."""
    facts, labels = _facts(model), model.predictor.encoder.target.get("labels", [])
    if not isinstance(content, dict):
        raise RequestError("wrong_type", EXPECTED)
    for key in content:
        if key not in KEYS:
            raise RequestError("unknown_field", EXPECTED, key)
    limit = model.predictor.encoder.max_instances
    if "code" in content:
        if both := next((key for key in ("count", "seed") if key in content), ""):
            raise RequestError("wrong_type", f"expected either code or {both}; received both", both)
        rows = _codes(content["code"], facts.code, limit)
    else:
        count = _integer(content.get("count", min(DEFAULT_COUNT, limit)), "count", 1, limit)
        seed = _integer(content.get("seed", 0), "seed", 0, MAX_SEED)
        deadline.check(model.predictor.decoding_seconds(count))
        rows = codes.draw(facts.prior, facts.code, seed, count)
    return SampleRequest(rows, _labels(content, labels if facts.conditional else [], len(rows)))


def samples(model: LoadedModel, request: SampleRequest) -> list[dict[str, Any]]:
    """Return a picture for each code, with the code and the class."""
    predictor, names = model.predictor, model.predictor.encoder.target.get("labels", [])
    deadline.check(predictor.decoding_seconds(len(request.codes)))
    rows = predictor.decode_codes(codes.with_flags(request.codes, request.labels, len(names)))
    if not np.isfinite(rows).all():
        raise RequestError("out_of_bounds", "the code is too large for the model", "code")
    labels = [None] * len(rows) if request.labels is None else request.labels.tolist()
    listed = zip(_pictures(model, rows), request.codes.astype(np.float64).tolist(), labels, strict=True)
    return [
        {"image": picture, "code": code, **({} if label is None else {"class": names[label]})}
        for picture, code, label in listed
    ]


def encode(model: LoadedModel, instances: object) -> list[list[float]]:
    """Return the code of each instance."""
    if "code" not in model.schema["prediction"].get("properties", {}):
        text = f"expected a model with an encoder; {model.task} has none"
        raise RequestError("unsupported", text, "instances")
    return [prediction["code"] for prediction in model.predict(instances)]


def _facts(model: LoadedModel) -> Facts:
    """Return what a generative model consists of; refuse other models."""
    if not model.predictor.encoder.problem.generates:
        raise RequestError("unsupported", f"expected a generative model; {model.task} draws no samples")
    return Facts.of(model.predictor.encoder)


def _integer(value: object, key: str, low: int, high: int) -> int:
    """Return an integer within bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError("wrong_type", f"expected an integer; received {format_value(value)}", key)
    if not low <= value <= high:
        status = 413 if key == "count" and value > high else 400
        text = f"expected {low} to {high}; received {format_value(value)}"
        raise RequestError("too_many" if status == 413 else "out_of_bounds", text, key, status=status)
    return value


def _codes(value: object, size: int, limit: int) -> Array:
    """Return codes that a client gives: a list of lists of numbers."""
    if not isinstance(value, list) or not value:
        raise RequestError("wrong_type", f"expected a list of codes, each of {size} numbers", "code")
    if len(value) > limit:
        raise RequestError("too_many", f"expected at most {limit} codes; received {len(value)}", "code", status=413)
    for place, row in enumerate(value):
        if not isinstance(row, list) or len(row) != size:
            received = f"{len(row)}" if isinstance(row, list) else format_value(row)
            raise RequestError("wrong_shape", f"expected {size} numbers; received {received}", f"code[{place}]")
        if not all(type(number) in (int, float) for number in row):
            raise RequestError("wrong_type", "expected numbers", f"code[{place}]")
        if not all(abs(number) <= LARGEST for number in row):  # false for NaN
            text = f"expected numbers from {-LARGEST:g} to {LARGEST:g}"
            raise RequestError("out_of_bounds", text, f"code[{place}]")
    return np.array(value, dtype=np.float32)


def _labels(content: dict[str, Any], names: list[str], count: int) -> Array | None:
    """Return the index of the class of each sample: the one asked for, or one after the other."""
    if "class" in content and not names:
        raise RequestError("unsupported", "expected no class: the model is not conditional", "class")
    if not names:
        return None
    if "class" not in content:
        return np.arange(count) % len(names)
    if content["class"] not in names:
        expected = f"expected one of {', '.join(names)}"
        raise RequestError("unknown_class", f"{expected}; received {format_value(content['class'])}", "class")
    return np.full(count, names.index(content["class"]))


def _pictures(model: LoadedModel, rows: Array) -> list[dict[str, str]]:
    """Return rows as PNG files in Base64, as instances are sent."""
    from PIL import Image

    ((name, column),) = model.predictor.encoder.columns.items()
    shape = column.feature_shape(model.predictor.encoder.fitted[name])
    pixels = np.rint(np.clip(rows, 0, 1) * model.predictor.encoder.fitted[name]["std"]).astype(np.uint8)
    pictures = []
    for picture in pixels.reshape(-1, *shape):
        file = io.BytesIO()
        Image.fromarray(picture[..., 0] if shape[-1] == 1 else picture).save(file, "PNG")
        pictures.append({"b64": base64.b64encode(file.getvalue()).decode()})
    return pictures
