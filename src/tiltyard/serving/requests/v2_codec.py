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
# By the first two letters of the datatype.
PYTHON_TYPES: dict[str, set[type]] = {"BY": {str}, "BO": {bool}, "FP": {int, float, type(None)}}


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
    body: bytes, length: str | None, expected: Sequence[Tensor] | None = None
) -> tuple[InferRequest, dict[str, Array]]:
    """Return a request and its arrays; `length` is the value of the header, `expected` the inputs of the model."""
    request, binary_data = parse_head(body, length)
    return request, parse_arrays(request, binary_data, expected)


def parse_head(body: bytes, length: str | None) -> tuple[InferRequest, memoryview]:
    """Return a request without its arrays, and the binary data after its JSON."""
    json_length = len(body) if length is None else _parse_length(length, len(body))
    try:
        return decoder.decode(memoryview(body)[:json_length]), memoryview(body)[json_length:]
    except RecursionError:
        raise RequestError("malformed_json", "nested too deeply") from None
    except ValueError as error:
        raise RequestError("malformed_json", f"expected a request of the Open Inference Protocol: {error}") from None


def parse_arrays(
    request: InferRequest, binary_data: memoryview, expected: Sequence[Tensor] | None = None
) -> dict[str, Array]:
    """Return the arrays of a request by input."""
    if expected is not None:
        check_inputs(expected, [(tensor.name, tensor.shape) for tensor in request.inputs])
    arrays: dict[str, Array] = {}
    for tensor in request.inputs:
        if tensor.name in arrays:
            raise RequestError("wrong_type", "expected each input once", f"inputs.{tensor.name}")
        binary_data = _add_array(tensor, binary_data, arrays)
    if binary_data:
        raise RequestError(
            "wrong_shape", f"expected no data after the inputs; {len(binary_data)} bytes are left", "inputs"
        )
    return arrays


def _parse_length(length: str, body_length: int) -> int:
    if not (length.isdecimal() and len(length) < 20 and int(length) <= body_length):
        raise RequestError(
            "wrong_type", f"{LENGTH_HEADER}: expected 0 to {body_length}, the length of the body; received {length}"
        )
    return int(length)


def _add_array(tensor: Input, binary_data: memoryview, arrays: dict[str, Array]) -> memoryview:
    """Add the array of an input; return the remaining binary data."""
    field = f"inputs.{tensor.name}"
    if tensor.datatype != "BYTES" and tensor.datatype not in DTYPES:
        datatypes = ", ".join([*DTYPES, "BYTES"])
        raise RequestError("wrong_type", f"expected one of {datatypes}; received {tensor.datatype!r}", field)
    size = tensor.parameters.get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise RequestError("missing_field", "expected data, or binary_data_size among its parameters", field)
    if size is None:
        flat = _json_array(tensor, field)
    else:
        if type(size) is not int or not 0 <= size <= len(binary_data):
            raise RequestError(
                "wrong_shape", f"expected {size} bytes after the JSON; {len(binary_data)} are left", field
            )
        flat, binary_data = _binary_array(tensor, binary_data[:size], field), binary_data[size:]
    sizes = tensor.shape if 1 <= len(tensor.shape) <= MAX_DIMENSIONS else [-1]
    # Each size is checked, since a product with 0 hides large ones.
    if min(sizes) < 0 or max(sizes) > max(1, len(flat)) or math.prod(sizes) != len(flat):
        raise RequestError("wrong_shape", f"expected {tensor.shape} values; received {len(flat)}", field)
    arrays[tensor.name] = flat.reshape(tensor.shape)
    return binary_data


def _json_array(tensor: Input, field: str) -> Array:
    """Return the array of JSON data, which is flat or nested like the shape."""
    values, depth = tensor.data or [], min(len(tensor.shape), MAX_DIMENSIONS)
    while values and isinstance(values[0], list):
        depth -= 1
        if depth < 1 or {*map(type, values)} != {list}:
            raise RequestError("wrong_shape", "expected lists of equal depth, no deeper than the shape", field)
        values = [*itertools.chain.from_iterable(values)]
    types = PYTHON_TYPES.get(tensor.datatype[:2], {int})
    if not types.issuperset(map(type, values)):
        raise RequestError("wrong_type", f"expected values of {tensor.datatype}", field)
    try:
        with np.errstate(over="ignore"):  # infinite values are refused by the encoder
            return np.array(values, dtype="O" if tensor.datatype == "BYTES" else DTYPES[tensor.datatype])
    except OverflowError:
        raise RequestError("out_of_bounds", f"expected values of {tensor.datatype}", field) from None


def _binary_array(tensor: Input, content: memoryview, field: str) -> Array:
    """Return the array of binary data: numbers in little-endian order, texts each after its length."""
    if tensor.datatype != "BYTES":
        dtype = np.dtype(DTYPES[tensor.datatype])
        if len(content) % dtype.itemsize:
            raise RequestError("wrong_shape", f"expected whole values of {tensor.datatype}", field)
        return np.frombuffer(content, dtype)
    try:
        return np.array([text.decode() for text in unpacked(content)], dtype="O")
    except IndexError:
        raise RequestError("wrong_shape", "expected each complete text after its length", field) from None
    except (struct.error, UnicodeDecodeError):
        raise RequestError("wrong_type", "expected texts in UTF-8, each after its length", field) from None


def unpacked(content: bytes | memoryview) -> list[bytes]:
    """Return the texts of binary data; raise IndexError or struct.error if the last one is incomplete."""
    texts, offset = [], 0
    while offset < len(content):
        (length,) = struct.unpack_from("<I", content, offset)
        offset += 4 + length
        if offset > len(content):
            raise IndexError
        texts.append(bytes(content[offset - length : offset]))
    return texts


def packed(text: bytes) -> bytes:
    """Return a text as binary data: after its length."""
    return struct.pack("<I", len(text)) + text


def write(request: InferRequest, names: tuple[str, str], arrays: dict[str, Array]) -> tuple[bytes, int | None]:
    """Return the response body and, with binary data, the length of its JSON; `names` are model and version."""
    requested = {output.name: output.parameters for output in request.outputs} or {name: {} for name in arrays}
    if unknown := requested.keys() - arrays.keys():
        raise RequestError("unknown_field", f"expected {', '.join(arrays)}", f"outputs.{min(unknown)}")
    binary_by_default, blobs, outputs = request.parameters.get("binary_data_output", False), [], []
    for name, parameters in requested.items():
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
    packed_texts = {text: packed(text.encode()) for text in set(texts)}  # labels occur often
    return b"".join(map(packed_texts.__getitem__, texts))
