"""A request for predictions, from its body to the body of its answer: the same code in the service and beside it.

What costs more than a millisecond is not done where requests are received (pool.py).
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

from tiltyard.modeling.inference.reference import from_instances
from tiltyard.modeling.problems.base import Problem
from tiltyard.serving.model.compiled_request import AT_ONCE
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import columns_of, from_predictions
from tiltyard.serving.requests import attributions, table_body, v2_codec
from tiltyard.serving.requests.json_body import PredictRequest, asked
from tiltyard.serving.requests.message import Answer, Question

LARGE = 16_384  # bytes of JSON that are decoded before anything is known of them
LARGE_V2 = 2048  # of a request of V2: making arrays of its tensors costs more for each byte

encoder = msgspec.json.Encoder()


class Read(NamedTuple):
    """A question that was understood."""

    asked: PredictRequest
    infer: v2_codec.Infer | None = None  # of v2


def read(model: LoadedModel, question: Question) -> Read:
    """Understand the body of a request, or refuse it."""
    reader = model.predictor.encoder
    if question.protocol == "v2":
        infer, arrays = v2_codec.read(question.body, question.json_length, model.inputs)
        return Read(PredictRequest(reader.joined(columns_of(model.inputs, arrays))), infer)
    if question.type in table_body.KINDS:
        return Read(PredictRequest(table_body.rows_from_table(reader, question.body, question.type)))
    return Read(asked(question.body, next(iter(reader.columns)) if reader.bare else ""))


def small(question: Question) -> bool:
    """Whether a body costs so little to decode that it may be decoded at once."""
    if question.protocol == "v2":
        return len(question.body) < LARGE_V2
    return len(question.body) < LARGE and question.type not in table_body.KINDS


def brief(model: LoadedModel, question: Question, found: Read) -> bool:
    """Whether all that is asked takes less than a millisecond, by what was measured of model and columns."""
    instances = found.asked.instances
    if not isinstance(instances, list):  # it is refused
        return True
    if found.asked.explain:
        attributions.refuse(model, instances)
        return False
    columns = model.predictor.encoder.columns.values()
    usual = type(model.predictor.encoder.problem).respond is Problem.respond
    if not usual or any(column.decodes(instances) for column in columns):
        return False
    reading = len(question.body) * max(column.seconds_a_byte for column in columns)
    return reading + model.predictor.seconds(len(instances)) < AT_ONCE


def answer(model: LoadedModel, found: Read, *, told: bool) -> Answer:
    """Answer what was understood; `told` asks for what is recorded of it."""
    instances, begun = found.asked.instances, time.thread_time()
    if found.asked.explain:
        attributions.refuse(model, instances)
    predictions = model.predict(instances)
    ms = 1000 * (time.thread_time() - begun)
    if found.infer:
        outputs = from_predictions(model.outputs, predictions)
        content, length = v2_codec.write(found.infer, (model.task, model.version), outputs)
    else:
        content, length = encoder.encode(_v1(model, found.asked, predictions)), None
    if not told:
        return Answer(content, len(predictions), ms, length)
    return Answer(content, len(predictions), ms, length, _told(instances, predictions), _looked(model, instances))


def _v1(model: LoadedModel, wanted: PredictRequest, predictions: list[Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"outputs": _columns(predictions)} if wanted.columns else {"predictions": predictions}
    if wanted.explain:
        body["explanations"] = attributions.attributions(model, wanted.instances, predictions)
    return {**body, "model": model.task, "version": model.version}


def _columns(predictions: list[Any]) -> Any:
    """Return answers by the names of their parts, if they have any."""
    if not isinstance(predictions[0], dict):
        return predictions
    return {name: [one[name] for one in predictions] for name in predictions[0]}


def _looked(model: LoadedModel, instances: Any) -> dict[str, list[Any]] | None:
    """Look at files here: whoever records an answer may not decode them."""
    encoder = model.predictor.encoder
    if not model.reference or not any(column.decodes(instances) for column in encoder.columns.values()):
        return None
    return {name: values.tolist() for name, values in from_instances(encoder, instances).items()}


def _told(instances: object, predictions: list[Any]) -> bytes:
    try:
        return encoder.encode([instances, predictions])
    except (ValueError, TypeError):  # half a character is no UTF-8
        return b""
