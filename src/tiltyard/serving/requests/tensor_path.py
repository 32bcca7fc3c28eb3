"""Tensor path: V2 requests with numbers for columns that are encoded unchanged, computed as arrays.

The general path (predict_request.py) makes a Python number of each value. This path accepts only requests that the
general path accepts too, and returns the same response; it returns None for every other request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tiltyard.arrays import Array
from tiltyard.errors import RequestError
from tiltyard.serving.model.compiled_request import MAX_INLINE_SECONDS, CompiledRequest
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import from_outputs
from tiltyard.serving.requests import v2_codec
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.requests.v2_codec import InferRequest

SECONDS_A_BYTE = 5e-8  # of JSON, which is mostly numbers of a few digits


@dataclass(frozen=True)
class Bounds:
    """What a request may cost; beyond, it is left to the general path."""

    json_bytes: float = math.inf
    binary_bytes: float = math.inf
    seconds: float = math.inf


INLINE = Bounds(16_384, 262_144, MAX_INLINE_SECONDS)  # in the event loop
ANY = Bounds()  # in a compute process, which is stopped if it takes too long


def respond(model: LoadedModel, message: RequestMessage, bounds: Bounds) -> ResponseMessage | None:
    """Return the response to a request; None if the general path must handle it."""
    compiled = model.compiled_request
    if message.protocol != "v2" or not compiled or not compiled.is_numeric or _is_large(message, bounds):
        return None
    try:
        request, binary_data = v2_codec.parse_head(message.body, message.json_length)
        if not _is_cheap(model, request, len(message.body) - len(binary_data), bounds):
            return None
        columns = _columns(model, v2_codec.parse_arrays(request, binary_data, model.inputs))
        if (outputs := _outputs(compiled, columns)) is None:
            return None
        arrays = from_outputs(model.predictor.encoder, model.outputs, outputs)
        content, length = v2_codec.write(request, (model.task, model.version), arrays)
    except RequestError:
        return None
    return ResponseMessage(content, len(outputs), 0.0, length)  # only records need the time; this path makes none


def _is_large(message: RequestMessage, bounds: Bounds) -> bool:
    return len(message.body) > (bounds.json_bytes if message.json_length is None else bounds.binary_bytes)


def _is_cheap(model: LoadedModel, request: InferRequest, json_bytes: int, bounds: Bounds) -> bool:
    """Return whether the work is within the bounds, by what a request says of itself; the shapes are checked later.

    Texts, which no numeric model takes, would cost more for each byte.
    """
    if json_bytes > bounds.json_bytes or any(
        tensor.datatype == "BYTES" or not tensor.shape for tensor in request.inputs
    ):
        return False
    rows = min((tensor.shape[0] for tensor in request.inputs), default=0)
    return 0 < rows <= model.predictor.encoder.max_instances and (
        json_bytes * SECONDS_A_BYTE + model.predictor.seconds(rows) < bounds.seconds
    )


def _columns(model: LoadedModel, arrays: dict[str, Array]) -> list[Array] | None:
    """Return the arrays in the order of the model's inputs and in their shapes; None if an input is missing."""
    if arrays.keys() != {tensor.name for tensor in model.inputs}:
        return None
    return [arrays[tensor.name].reshape(len(arrays[tensor.name]), *tensor.shape) for tensor in model.inputs]


def _outputs(compiled: CompiledRequest, columns: list[Array] | None) -> Array | None:
    features = compiled.features_of_arrays(columns) if columns else None
    return None if features is None else compiled.run(features)
