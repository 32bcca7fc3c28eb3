"""Feedback: parses and stores the ground truth that clients send for earlier predictions, by request id."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Any

from tiltyard.errors import RequestError, format_value
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.number import LARGEST
from tiltyard.modeling.problems.anomaly import LABELS as ANOMALY_LABELS
from tiltyard.modeling.problems.multilabel import Multilabel
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.json_body import decode
from tiltyard.serving.traffic.feedback_limits import Sender
from tiltyard.serving.traffic.feedback_token import TOKEN, FeedbackTokens
from tiltyard.serving.traffic.truths import Truth, TruthStore

MAX_BODY_BYTES = 256_000  # enough for MAX_TRUTHS labels with id and token
MAX_TRUTHS = 1000  # of a request
MAX_VALUES_PER_TRUTH = 16  # counted by commas and brackets, including those inside labels
REQUEST_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)  # as accepted or created by the service
KEYS = ("id", "instance", "truth", "token")
EXPECTED = 'expected {"feedback": [{"id": "...", "token": "...", "instance": 0, "truth": ...}]}'
ITEM = "expected id, token, truth and, if the request had several instances, the index as instance"
JSON_TYPE = "application/json"

log = logging.getLogger("bentoml.tiltyard")


def save(truths: TruthStore, model: LoadedModel, body: bytes, sender: Sender) -> int:
    """Store all truths of a request, or none; return their number. Refused requests count against the rate limit."""
    truths.limits.charge_sender(model.task, sender, len(body))
    try:
        truths_and_tokens = parse(model, body, truths.tokens, sender.key_name)
        truths.save(model.task, truths_and_tokens)
    except OSError as error:  # e.g. disk full or too many open files
        log.error("%s: feedback could not be stored: %s", model.task, error)  # noqa: TRY400 - no traceback
        raise RequestError("not_kept", "the truths could not be written; send them again", status=503) from None
    return len(truths_and_tokens)


def require_json(content_type: str) -> None:
    """Refuse media types other than JSON, such as those that a form on another web page can send (CSRF)."""
    if content_type.partition(";")[0].strip().lower() != JSON_TYPE:
        raise RequestError(
            "unsupported_type", f"expected content-type: {JSON_TYPE}; received {format_value(content_type)}", status=415
        )


def parse(model: LoadedModel, body: bytes, tokens: FeedbackTokens, key_name: str = "") -> list[tuple[Truth, str]]:
    """Parse the truths of a request, each with its token; raise RequestError if one is invalid or not authorised."""
    _check_value_count(model, body)
    content = decode(body)
    if not isinstance(content, dict) or not isinstance(content.get("feedback"), list):
        raise RequestError("wrong_type", EXPECTED, "feedback")
    for key in content.keys() - {"feedback"}:
        raise RequestError("unknown_field", EXPECTED, key)
    items = content["feedback"]
    if not items:
        raise RequestError("no_truths", "expected at least one truth; received none", "feedback")
    if len(items) > MAX_TRUTHS:
        text = f"expected at most {MAX_TRUTHS} truths; received {len(items)}"
        raise RequestError("too_many", text, "feedback", status=413)
    truths_and_tokens = [_parse_item(model, item, f"feedback[{index}]") for index, item in enumerate(items)]
    return [
        _with_owner(model, pair, tokens, key_name, f"feedback[{index}]") for index, pair in enumerate(truths_and_tokens)
    ]


def _check_value_count(model: LoadedModel, body: bytes) -> None:
    """Refuse a body with more values than the truths can have, before it is decoded, since decoding takes long."""
    encoder = model.predictor.encoder
    several = [*encoder.classes] if isinstance(encoder.problem, Multilabel) else encoder.target.get("names", ())
    own = len(several) or _forecast_steps(model.schema["prediction"])
    max_values = MAX_TRUTHS * (MAX_VALUES_PER_TRUTH + own)
    if sum(map(body.count, (b",", b"[", b"{"))) > max_values:
        text = f"expected at most {MAX_TRUTHS} truths; received more than {max_values:,} values"
        raise RequestError("too_many", text, "feedback", status=413)


def _with_owner(
    model: LoadedModel, truth_and_token: tuple[Truth, str], tokens: FeedbackTokens, key_name: str, field: str
) -> tuple[Truth, str]:
    """Return a truth with the owner of its prediction, from the token or else from the API key."""
    truth, token = truth_and_token
    if not token and key_name:
        return replace(truth, owner=tokens.owner(key_name)), ""
    if not token:
        text = "expected the x-feedback-token of the response; responses have one if they are recorded"
        raise RequestError("missing_field", text, f"{field}.token")
    claim = tokens.verify(model.task, truth.id, token)
    if claim is None:
        text = f"expected the x-feedback-token of the response whose x-request-id is {truth.id}"
        raise RequestError("unknown_token", text, f"{field}.token", status=403)
    if truth.instance >= claim.instances:
        text = f"expected an index from 0 to {claim.instances - 1}; received {truth.instance}"
        raise RequestError("out_of_bounds", text, f"{field}.instance")
    return replace(truth, owner=claim.owner), token


def _parse_item(model: LoadedModel, item: object, field: str) -> tuple[Truth, str]:
    if not isinstance(item, dict):
        raise RequestError("wrong_type", ITEM, field)
    for key in item.keys() - set(KEYS):
        raise RequestError("unknown_field", ITEM, f"{field}.{key}")
    for key in ("id", "truth"):
        if key not in item:
            raise RequestError("missing_field", ITEM, f"{field}.{key}")
    request_id, index = item["id"], item.get("instance", 0)
    if not isinstance(request_id, str) or not REQUEST_ID.fullmatch(request_id):
        text = f"expected the x-request-id of the response; received {format_value(request_id)}"
        raise RequestError("wrong_type", text, f"{field}.id")
    max_instances = model.predictor.encoder.max_instances
    if type(index) is float and index.is_integer():  # JSON has no difference between 2.0 and 2
        index = int(index)
    if type(index) is not int or not 0 <= index < max_instances:
        text = f"expected an index from 0 to {max_instances - 1}; received {format_value(index)}"
        raise RequestError("out_of_bounds", text, f"{field}.instance")
    token = item.get("token", "")
    if not isinstance(token, str) or not (TOKEN.fullmatch(token) or "token" not in item):
        text = f"expected the x-feedback-token of the response; received {format_value(token)}"
        raise RequestError("wrong_type", text, f"{field}.token")
    return Truth(request_id, index, _parse_truth(model, item["truth"], f"{field}.truth")), token


WITHOUT_TRUTHS = {  # what models do whose answers are not compared with the truth live
    "text": "generates text",
    "objects": "finds objects, which are not compared live",
    "mask": "labels pixels, which are not compared live",
}


def unsupported_reason(model: LoadedModel) -> str:
    """Return why a model's predictions are not compared with the ground truth; an empty text if they are."""
    problem = model.predictor.encoder.problem
    if problem.targets == "row":
        verb = "clusters" if problem.clusters else "reconstructs"
        return f"expected a model with a target; {model.task} {verb} rows, and needs no ground truth"
    what = WITHOUT_TRUTHS.get(problem.targets, "")
    return what and f"expected a model that predicts numbers or labels; {model.task} {what}"


def _parse_truth(model: LoadedModel, value: object, field: str) -> Any:
    """Parse the ground truth: one or several of the model's labels, a number, or a number for each forecast step."""
    encoder = model.predictor.encoder
    if text := unsupported_reason(model):
        raise RequestError("unsupported", text, field)
    if encoder.problem.targets == "anomaly":
        return _parse_anomaly(value, field)
    if isinstance(encoder.problem, Multilabel):
        return _parse_labels(value, encoder.classes, encoder.problem.separator, field)
    if encoder.classes:
        if (label := next((text for text in _label_spellings(value) if text in encoder.classes), None)) is not None:
            return label
        text = f"expected one of {', '.join(encoder.classes)}; received {format_value(value)}"
        raise RequestError("unknown_label", text, field)
    if names := encoder.target.get("names"):
        return _parse_numbers(value, names, field)
    steps = _forecast_steps(model.schema["prediction"])
    if not steps:
        return _parse_number(value, field)
    if not isinstance(value, list) or len(value) != steps:
        raise RequestError("wrong_shape", f"expected a list of {steps} numbers; received {format_value(value)}", field)
    return [_parse_number(number, f"{field}[{index}]") for index, number in enumerate(value)]


def _parse_anomaly(value: object, field: str) -> str:
    """Parse whether a row was an anomaly: true or false, or its name."""
    if isinstance(value, bool):
        return ANOMALY_LABELS[value]
    if value not in ANOMALY_LABELS:
        text = f"expected {' or '.join(ANOMALY_LABELS)}, or whether it is an anomaly; received {format_value(value)}"
        raise RequestError("unknown_label", text, field)
    return str(value)


def _parse_numbers(value: object, names: list[str], field: str) -> dict[str, float]:
    """Parse an object with a number for each target; the result is in the order of the targets."""
    if not isinstance(value, dict) or value.keys() != {*names}:
        expected = f"expected an object with a number for each of {', '.join(names)}"
        raise RequestError("wrong_shape", f"{expected}; received {format_value(value)}", field)
    return {name: _parse_number(value[name], f"{field}.{name}") for name in names}


def _parse_labels(value: object, classes: list[str], separator: str | None, field: str) -> list[str]:
    """Parse a list of labels, or the text of a cell of the data; the result is in the order of the classes."""
    if not isinstance(value, list | str):
        raise RequestError("wrong_type", f"expected a list of labels; received {format_value(value)}", field)
    labels = labels_of(value, separator)
    if unknown := [label for label in labels if label not in classes]:
        text = f"expected some of {', '.join(classes)}; received {format_value(unknown[0])}"
        raise RequestError("unknown_label", text, field)
    return [label for label in classes if label in labels]


def _label_spellings(value: object) -> list[str]:
    """Return spellings of a label in a file: 1 or 1.0 is "1", true is "true" or "True"; strings also stripped."""
    if isinstance(value, bool):
        return [str(value).lower(), str(value), str(value).upper()]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return [str(int(value)), str(value)]
    if isinstance(value, str):
        return [value, value.strip()]
    return [str(value)] if isinstance(value, int) and abs(value) < 2**63 else []


def _forecast_steps(schema: dict[str, Any]) -> int:
    """Return the number of forecast steps; 0 if a prediction is a single number or a label."""
    forecast = schema.get("properties", {}).get("forecast", schema)
    steps: int = forecast.get("minItems", 0)
    return steps


def _parse_number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise RequestError("wrong_type", f"expected a finite number; received {format_value(value)}", field)
    return float(value)
