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
        blobs = [_typed_bytes(tensor) for tensor in request.inputs]
    elif len(blobs) != len(request.inputs) or any(tensor.HasField("contents") for tensor in request.inputs):
        text = (
            f"expected raw_input_contents for each input or for none; received {len(blobs)} for {len(request.inputs)}"
        )
        raise RequestError("wrong_shape", text, "inputs")
    inputs = [
        {
            "name": tensor.name,
            "shape": [*tensor.shape],
            "datatype": tensor.datatype,
            "parameters": {"binary_data_size": len(blob)},
        }
        for tensor, blob in zip(request.inputs, blobs, strict=True)
    ]
    outputs = [{"name": tensor.name} for tensor in request.outputs]
    head = msgspec.json.encode({"id": request.id, "inputs": inputs, "outputs": outputs, "parameters": BINARY})
    return b"".join([head, *blobs]), len(head)


def _typed_bytes(tensor: Any) -> bytes:
    """Return the binary data of typed contents; the V2 codec refuses an unknown datatype."""
    values = [*getattr(tensor.contents, CONTENTS[tensor.datatype])] if tensor.datatype in CONTENTS else []
    if tensor.datatype == "BYTES":
        return b"".join(map(v2_codec.packed, values))
    try:
        return np.array(values, DTYPES.get(tensor.datatype, "f8")).tobytes()
    except OverflowError:
        text = f"expected values of {tensor.datatype}"
        raise RequestError("out_of_bounds", text, f"inputs.{tensor.name}") from None


def response(content: bytes, json_length: int, *, typed: bool) -> bytes:
    """Return the ModelInferResponse of a V2 response with binary data: typed contents, or raw ones."""
    head, binary_data = msgspec.json.decode(content[:json_length]), memoryview(content)[json_length:]
    message = message_class("ModelInferResponse")(
        model_name=head["model_name"], model_version=head["model_version"], id=head.get("id", "")
    )
    for output in head["outputs"]:
        size = output["parameters"]["binary_data_size"]
        blob, binary_data = bytes(binary_data[:size]), binary_data[size:]
        tensor = message.outputs.add(name=output["name"], datatype=output["datatype"], shape=output["shape"])
        if typed:
            getattr(tensor.contents, CONTENTS[output["datatype"]]).extend(_values(output["datatype"], blob))
        else:
            message.raw_output_contents.append(blob)
    serialized: bytes = message.SerializeToString()
    return serialized


def _values(datatype: str, blob: bytes) -> list[Any]:
    if datatype == "BYTES":
        return v2_codec.unpacked(blob)
    values: list[Any] = np.frombuffer(blob, DTYPES[datatype]).tolist()
    return values


def from_json(name: str, content: bytes) -> bytes:
    """Return a message of the fields of a JSON object that it has."""
    message_type, values = message_class(name), msgspec.json.decode(content)
    fields = message_type.DESCRIPTOR.fields_by_name
    serialized: bytes = message_type(
        **{key: value for key, value in values.items() if key in fields}
    ).SerializeToString()
    return serialized


def error(content: bytes) -> str:
    """Return the text of an error response of V2."""
    try:
        return str(msgspec.json.decode(content)["error"])
    except (msgspec.DecodeError, LookupError, TypeError):
        return "internal: the service failed; its log says why"
