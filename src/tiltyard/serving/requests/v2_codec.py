"""Codec of the Open Inference Protocol (V2): tensors as JSON or as binary data after the JSON, both directions."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import RequestError
from tiltyard.files import Json
from tiltyard.serving.model.tensors import DTYPES, Tensor, check_inputs

LENGTH_HEADER = "Inference-Header-Content-Length"  # header: how many bytes of the body are JSON
MAX_DIMENSIONS = 32  # of a shape


PYTHON_TYPES: dict[str, set[type]] = {
    "BY": {str},
    "BO": {bool},
    "FP": {int, float, type(None)},
}  # by the first two letters of the datatype


class Input(msgspec.Struct):
    """A tensor of a request; its data are here or after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: Json = {}


class Output(msgspec.Struct):
    """A requested output tensor."""

    name: str
    parameters: Json = {}


class InferRequest(msgspec.Struct):
    """An inference request."""

    inputs: list[Input]
    id: str = ""
    parameters: Json = {}
    outputs: list[Output] = []


decoder = msgspec.json.Decoder(InferRequest)
encoder = msgspec.json.Encoder()


def parse(
    body: bytes, length: str | None, wanted: Sequence[Tensor] | None = None
) -> tuple[InferRequest, dict[str, Array]]:
    """Return a request and its arrays; `length` is the value of the header, `wanted` the inputs of the model."""
    request, rest = parse_head(body, length)
    return request, parse_arrays(request, rest, wanted)


def parse_head(body: bytes, length: str | None) -> tuple[InferRequest, memoryview]:
    """Return a request without its arrays, and the binary data after its JSON."""
    head = len(body) if length is None else _parse_length(length, len(body))
    try:
        return decoder.decode(memoryview(body)[:head]), memoryview(body)[head:]
    except RecursionError:
        raise RequestError("malformed_json", "nested too deeply") from None
    except ValueError as error:
        raise RequestError("malformed_json", f"expected a request of the Open Inference Protocol: {error}") from None


def parse_arrays(request: InferRequest, rest: memoryview, wanted: Sequence[Tensor] | None = None) -> dict[str, Array]:
    """Return the arrays of a request by input."""
    if wanted is not None:
        check_inputs(wanted, [(one.name, one.shape) for one in request.inputs])
    arrays: dict[str, Array] = {}
    for one in request.inputs:
        if one.name in arrays:
            raise RequestError("wrong_type", "expected each input once", f"inputs.{one.name}")
        rest = _add_array(one, rest, arrays)
    if rest:
        raise RequestError("wrong_shape", f"expected no data after the inputs; {len(rest)} bytes are left", "inputs")
    return arrays


def _parse_length(length: str, most: int) -> int:
    if not (length.isdecimal() and len(length) < 20 and int(length) <= most):
        raise RequestError(
            "wrong_type", f"{LENGTH_HEADER}: expected 0 to {most}, the length of the body; received {length}"
        )
    return int(length)


def _add_array(one: Input, rest: memoryview, arrays: dict[str, Array]) -> memoryview:
    """Add the array of an input; return the remaining binary data."""
    field = f"inputs.{one.name}"
    if one.datatype != "BYTES" and one.datatype not in DTYPES:
        known = ", ".join([*DTYPES, "BYTES"])
        raise RequestError("wrong_type", f"expected one of {known}; received {one.datatype!r}", field)
    size = one.parameters.get("binary_data_size")
    if (size is None) == (one.data is None):
        raise RequestError("missing_field", "expected data, or binary_data_size among its parameters", field)
    if size is None:
        flat = _json_array(one, field)
    else:
        if type(size) is not int or not 0 <= size <= len(rest):
            raise RequestError("wrong_shape", f"expected {size} bytes after the JSON; {len(rest)} are left", field)
        flat, rest = _binary_array(one, rest[:size], field), rest[size:]
    sizes = one.shape if 1 <= len(one.shape) <= MAX_DIMENSIONS else [-1]
    # Each size is checked, since a product with 0 hides large ones.
    if min(sizes) < 0 or max(sizes) > max(1, len(flat)) or math.prod(sizes) != len(flat):
        raise RequestError("wrong_shape", f"expected {one.shape} values; received {len(flat)}", field)
    arrays[one.name] = flat.reshape(one.shape)
    return rest


def _json_array(one: Input, field: str) -> Array:
    """Return the array of JSON data, which is flat or nested like the shape."""
    values, deep = one.data or [], min(len(one.shape), MAX_DIMENSIONS)
    while values and isinstance(values[0], list):
        deep -= 1
        if deep < 1 or {*map(type, values)} != {list}:
            raise RequestError("wrong_shape", "expected lists of equal depth, no deeper than the shape", field)
        values = [*itertools.chain.from_iterable(values)]
    kinds = PYTHON_TYPES.get(one.datatype[:2], {int})
    if not kinds.issuperset(map(type, values)):
        raise RequestError("wrong_type", f"expected values of {one.datatype}", field)
    try:
        with np.errstate(over="ignore"):  # infinite values are refused by the encoder
            return np.array(values, dtype="O" if one.datatype == "BYTES" else DTYPES[one.datatype])
    except OverflowError:
        raise RequestError("out_of_bounds", f"expected values of {one.datatype}", field) from None


def _binary_array(one: Input, content: memoryview, field: str) -> Array:
    """Return the array of binary data: numbers in little-endian order, texts each after its length."""
    if one.datatype != "BYTES":
        dtype = np.dtype(DTYPES[one.datatype])
        if len(content) % dtype.itemsize:
            raise RequestError("wrong_shape", f"expected whole values of {one.datatype}", field)
        return np.frombuffer(content, dtype)
    try:
        return np.array([text.decode() for text in unpacked(content)], dtype="O")
    except IndexError:
        raise RequestError("wrong_shape", "expected each complete text after its length", field) from None
    except (struct.error, UnicodeDecodeError):
        raise RequestError("wrong_type", "expected texts in UTF-8, each after its length", field) from None


def unpacked(content: bytes | memoryview) -> list[bytes]:
    """Return the texts of binary data; raise IndexError or struct.error if the last one is incomplete."""
    texts, place = [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<I", content, place)
        place += 4 + length
        if place > len(content):
            raise IndexError
        texts.append(bytes(content[place - length : place]))
    return texts


def packed(text: bytes) -> bytes:
    """Return a text as binary data: after its length."""
    return struct.pack("<I", len(text)) + text


def write(request: InferRequest, names: tuple[str, str], arrays: dict[str, Array]) -> tuple[bytes, int | None]:
    """Return the response body and, with binary data, the length of its JSON; `names` are model and version."""
    wanted = {one.name: one.parameters for one in request.outputs} or {name: {} for name in arrays}
    if strange := wanted.keys() - arrays.keys():
        raise RequestError("unknown_field", f"expected {', '.join(arrays)}", f"outputs.{min(strange)}")
    binary_by_default, blobs, outputs = request.parameters.get("binary_data_output", False), [], []
    for name, parameters in wanted.items():
        array = arrays[name]
        output: Json = {"name": name, "datatype": _datatype(array), "shape": [*array.shape]}
        if parameters.get("binary_data", binary_by_default) is True:
            blobs.append(_bytes(array))
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = array.reshape(-1).tolist()
        outputs.append(output)
    head = encoder.encode(
        {"model_name": names[0], "model_version": names[1], **({"id": request.id} if request.id else {})}
        | {"outputs": outputs}
    )
    return b"".join([head, *blobs]), len(head) if blobs else None


def _datatype(array: Array) -> str:
    if array.dtype.kind == "O":
        return "BYTES"
    return next(name for name, code in DTYPES.items() if np.dtype(code) == array.dtype)


def _bytes(array: Array) -> bytes:
    if array.dtype.kind != "O":
        return array.tobytes()
    texts: list[str] = array.reshape(-1).tolist()
    each = {text: packed(text.encode()) for text in set(texts)}  # labels occur often
    return b"".join(map(each.__getitem__, texts))
