"""Codec between gRPC messages and V2 bodies: tensors become binary data after the JSON, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tiltyard.errors import RequestError
from tiltyard.serving.grpc.messages import message_class
from tiltyard.serving.model.tensors import DTYPES
from tiltyard.serving.requests import v2_codec

CONTENTS = {  # the field of typed contents by datatype; FP16 has none
    "BOOL": "bool_contents",
    **dict.fromkeys(["INT8", "INT16", "INT32"], "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(["UINT8", "UINT16", "UINT32"], "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
BINARY = {"binary_data_output": True}


def parse(name: str, content: bytes) -> Any:
    """Return a message of a kind; raise RequestError if the bytes are none."""
    from google.protobuf.message import DecodeError

    try:
        return message_class(name).FromString(content)
    except DecodeError:
        raise RequestError("malformed_message", f"expected a message {name} of the Open Inference Protocol") from None


def body(request: Any) -> tuple[bytes, int]:
    """Return the V2 body of a ModelInferRequest, and the length of its JSON."""
    blobs = [*request.raw_input_contents]
    if not blobs:
        blobs = [_typed_bytes(one) for one in request.inputs]
    elif len(blobs) != len(request.inputs) or any(one.HasField("contents") for one in request.inputs):
        text = (
            f"expected raw_input_contents for each input or for none; received {len(blobs)} for {len(request.inputs)}"
        )
        raise RequestError("wrong_shape", text, "inputs")
    inputs = [
        {
            "name": one.name,
            "shape": [*one.shape],
            "datatype": one.datatype,
            "parameters": {"binary_data_size": len(blob)},
        }
        for one, blob in zip(request.inputs, blobs, strict=True)
    ]
    outputs = [{"name": one.name} for one in request.outputs]
    head = msgspec.json.encode({"id": request.id, "inputs": inputs, "outputs": outputs, "parameters": BINARY})
    return b"".join([head, *blobs]), len(head)


def _typed_bytes(one: Any) -> bytes:
    """Return the binary data of typed contents; the V2 codec refuses an unknown datatype."""
    values = [*getattr(one.contents, CONTENTS[one.datatype])] if one.datatype in CONTENTS else []
    if one.datatype == "BYTES":
        return b"".join(map(v2_codec.packed, values))
    try:
        return np.array(values, DTYPES.get(one.datatype, "f8")).tobytes()
    except OverflowError:
        text = f"expected values of {one.datatype}"
        raise RequestError("out_of_bounds", text, f"inputs.{one.name}") from None


def response(content: bytes, json_length: int, *, typed: bool) -> bytes:
    """Return the ModelInferResponse of a V2 response with binary data: typed contents, or raw ones."""
    head, rest = msgspec.json.decode(content[:json_length]), memoryview(content)[json_length:]
    answer = message_class("ModelInferResponse")(
        model_name=head["model_name"], model_version=head["model_version"], id=head.get("id", "")
    )
    for one in head["outputs"]:
        size = one["parameters"]["binary_data_size"]
        blob, rest = bytes(rest[:size]), rest[size:]
        added = answer.outputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        if typed:
            getattr(added.contents, CONTENTS[one["datatype"]]).extend(_values(one["datatype"], blob))
        else:
            answer.raw_output_contents.append(blob)
    found: bytes = answer.SerializeToString()
    return found


def _values(datatype: str, blob: bytes) -> list[Any]:
    if datatype == "BYTES":
        return v2_codec.unpacked(blob)
    values: list[Any] = np.frombuffer(blob, DTYPES[datatype]).tolist()
    return values


def from_json(name: str, content: bytes) -> bytes:
    """Return a message of the fields of a JSON object that it has."""
    kind, given = message_class(name), msgspec.json.decode(content)
    known = kind.DESCRIPTOR.fields_by_name
    found: bytes = kind(**{key: value for key, value in given.items() if key in known}).SerializeToString()
    return found


def error(content: bytes) -> str:
    """Return the text of an error response of V2."""
    try:
        return str(msgspec.json.decode(content)["error"])
    except (msgspec.DecodeError, LookupError, TypeError):
        return "internal: the service failed; its log says why"
