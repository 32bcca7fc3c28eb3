"""Messages of the Open Inference Protocol over gRPC, and their conversion to V2 bodies with binary tensors."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
import numpy as np

from tiltyard.errors import RequestError
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

PACKAGE, SERVICE = "inference", "inference.GRPCInferenceService"
TENSOR = ("1 string name", "2 string datatype", "3 repeated int64 shape")
FIELDS: dict[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": ("1 string name", "2 string version"),
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 string name", "2 string version", "3 repeated string extensions"),
    "ModelMetadataRequest": ("1 string name", "2 string version"),
    "ModelMetadataResponse.TensorMetadata": TENSOR,
    "ModelMetadataResponse": (
        "1 string name",
        "2 repeated string versions",
        "3 string platform",
        "4 repeated ModelMetadataResponse.TensorMetadata inputs",
        "5 repeated ModelMetadataResponse.TensorMetadata outputs",
    ),
    "InferParameter": (
        "1 bool bool_param",
        "2 int64 int64_param",
        "3 string string_param",
        "4 double double_param",
        "5 uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 repeated bool bool_contents",
        "2 repeated int32 int_contents",
        "3 repeated int64 int64_contents",
        "4 repeated uint32 uint_contents",
        "5 repeated uint64 uint64_contents",
        "6 repeated float fp32_contents",
        "7 repeated double fp64_contents",
        "8 repeated bytes bytes_contents",
    ),
    "ModelInferRequest.InferInputTensor": (*TENSOR, "4 map parameters", "5 InferTensorContents contents"),
    "ModelInferRequest.InferRequestedOutputTensor": ("1 string name", "2 map parameters"),
    "ModelInferRequest": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        "4 map parameters",
        "5 repeated ModelInferRequest.InferInputTensor inputs",
        "6 repeated ModelInferRequest.InferRequestedOutputTensor outputs",
        "7 repeated bytes raw_input_contents",
    ),
    "ModelInferResponse.InferOutputTensor": (*TENSOR, "4 map parameters", "5 InferTensorContents contents"),
    "ModelInferResponse": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        "4 map parameters",
        "5 repeated ModelInferResponse.InferOutputTensor outputs",
        "6 repeated bytes raw_output_contents",
    ),
}
ONEOF_NAMES = {"InferParameter": "parameter_choice"}  # messages of which only one field is set
PARAMETER_MAP = ("1 string key", "2 InferParameter value")


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


@cache
def message_class(name: str) -> Any:
    """Return the class of a message."""
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@cache
def _pool() -> Any:
    """Return a pool of descriptors of its own, since a client in the same process may define the same names."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    outer: dict[str, Any] = {}
    for name in sorted(FIELDS, key=lambda name: name.count(".")):
        parent, _, child = name.partition(".")
        message = outer[parent].nested_type.add(name=child) if child else file.message_type.add(name=name)
        outer[name] = message
        _add_fields(message, name, FIELDS[name])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_fields(message: Any, name: str, fields: tuple[str, ...]) -> None:
    """Add the fields of a message to its descriptor."""
    for text in fields:
        number, *type_words, field = text.split()
        descriptor = message.field.add(name=field, number=int(number), label="LABEL_OPTIONAL")
        if type_words[0] in ("repeated", "map"):
            descriptor.label = descriptor.LABEL_REPEATED
        if type_words[-1] == "map":
            type_words = [_add_map(message, name)]
        if type_words[-1][0].isupper():
            descriptor.type, descriptor.type_name = descriptor.TYPE_MESSAGE, f".{PACKAGE}.{type_words[-1]}"
        else:
            descriptor.type = descriptor.Type.Value(f"TYPE_{type_words[-1].upper()}")
        if name in ONEOF_NAMES:
            descriptor.oneof_index = 0
    if name in ONEOF_NAMES:
        message.oneof_decl.add(name=ONEOF_NAMES[name])


def _add_map(message: Any, name: str) -> str:
    """Add the entries of the map `parameters`; return their type."""
    entry = message.nested_type.add(name="ParametersEntry")
    entry.options.map_entry = True
    _add_fields(entry, "", PARAMETER_MAP)
    return f"{name}.ParametersEntry"
