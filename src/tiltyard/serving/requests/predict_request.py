"""Prediction requests, from the request body to the response body: the same code in the service and its processes.

The event loop handles only requests that take less than a millisecond; compute/pool.py handles the others.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

from tiltyard.modeling.inference.drift_reference import from_instances
from tiltyard.modeling.problems.base import Problem
from tiltyard.serving.model.compiled_request import MAX_INLINE_SECONDS
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import from_predictions, to_columns
from tiltyard.serving.requests import attributions, table_body, v2_codec
from tiltyard.serving.requests.json_body import PredictRequest, parse_json
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage

MAX_INLINE_BYTES = 16_384  # of JSON that is decoded in the event loop
MAX_INLINE_V2_BYTES = 2048  # of V2 requests, whose arrays cost more per byte

json_encoder = msgspec.json.Encoder()


class ParsedRequest(NamedTuple):
    """A request with its body parsed."""

    request: PredictRequest
    infer: v2_codec.InferRequest | None = None  # of v2


def parse(model: LoadedModel, request: RequestMessage) -> ParsedRequest:
    """Parse the body of a request; raise RequestError if it is invalid."""
    encoder = model.predictor.encoder
    if request.protocol == "v2":
        infer, arrays = v2_codec.parse(request.body, request.json_length, model.inputs)
        return ParsedRequest(PredictRequest(encoder.joined(to_columns(model.inputs, arrays))), infer)
    if request.type in table_body.MEDIA_TYPES:
        return ParsedRequest(PredictRequest(table_body.rows_from_table(encoder, request.body, request.type)))
    return ParsedRequest(parse_json(request.body, next(iter(encoder.columns)) if encoder.bare else ""))


def is_small(request: RequestMessage) -> bool:
    """Return whether a body is small enough to be decoded in the event loop."""
    if request.protocol == "v2":
        return len(request.body) < MAX_INLINE_V2_BYTES
    return len(request.body) < MAX_INLINE_BYTES and request.type not in table_body.MEDIA_TYPES


def is_fast(model: LoadedModel, request: RequestMessage, parsed: ParsedRequest) -> bool:
    """Return whether computing the response takes less than a millisecond, as estimated from measurements."""
    instances = parsed.request.instances
    if not isinstance(instances, list):  # it will be refused
        return True
    if parsed.request.explain:
        attributions.check(model, instances)
        return False
    columns = model.predictor.encoder.columns.values()
    runs_once = type(model.predictor.encoder.problem).respond is Problem.respond
    if not runs_once or any(column.decodes(instances) for column in columns):
        return False
    parse_seconds = len(request.body) * max(column.seconds_a_byte for column in columns)
    return parse_seconds + model.predictor.seconds(len(instances)) < MAX_INLINE_SECONDS


def respond_compiled(model: LoadedModel, body: bytes) -> ResponseMessage | None:
    """Return the response of the model's compiled request; None if the general path must handle the body."""
    compiled, start = model.compiled_request, time.thread_time()
    response = compiled.respond(body) if compiled and len(body) < MAX_INLINE_BYTES else None
    return ResponseMessage(*response, 1000 * (time.thread_time() - start)) if response else None


def respond_if_fast(model: LoadedModel, request: RequestMessage, *, record: bool) -> ResponseMessage | None:
    """Return the response if it takes less than a millisecond; otherwise None."""
    if not is_small(request):
        return None
    parsed = parse(model, request)
    return respond(model, parsed, record=record) if is_fast(model, request, parsed) else None


def respond(model: LoadedModel, parsed: ParsedRequest, *, record: bool) -> ResponseMessage:
    """Compute the response; with `record`, include the data to be recorded."""
    instances, start = parsed.request.instances, time.thread_time()
    if parsed.request.explain:
        attributions.check(model, instances)
    predictions = model.predict(instances)
    ms = 1000 * (time.thread_time() - start)
    if parsed.infer:
        outputs = from_predictions(model.outputs, predictions)
        content, length = v2_codec.write(parsed.infer, (model.task, model.version), outputs)
    else:
        content, length = json_encoder.encode(_v1_body(model, parsed.request, predictions)), None
    if not record:
        return ResponseMessage(content, len(predictions), ms, length)
    recorded = _recorded(instances, predictions), _drift_values(model, instances)
    return ResponseMessage(content, len(predictions), ms, length, *recorded)


def _v1_body(model: LoadedModel, request: PredictRequest, predictions: list[Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"outputs": _columns(predictions)} if request.columns else {"predictions": predictions}
    if request.explain:
        body["explanations"] = attributions.attributions(model, request.instances, predictions)
    return {**body, "model": model.task, "version": model.version}


def _columns(predictions: list[Any]) -> Any:
    """Return predictions by property, if they are objects."""
    if not isinstance(predictions[0], dict):
        return predictions
    return {name: [prediction[name] for prediction in predictions] for name in predictions[0]}


def _drift_values(model: LoadedModel, instances: Any) -> dict[str, list[Any]] | None:
    """Return the values for drift if instances are encoded files, which the recording process must not decode."""
    encoder = model.predictor.encoder
    if not model.reference or not any(column.decodes(instances) for column in encoder.columns.values()):
        return None
    return {name: values.tolist() for name, values in from_instances(encoder, instances).items()}


def _recorded(instances: object, predictions: list[Any]) -> bytes:
    try:
        return json_encoder.encode([instances, predictions])
    except (ValueError, TypeError):  # a lone surrogate cannot be encoded as UTF-8
        return b""
