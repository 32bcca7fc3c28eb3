"""Messages of the Open Inference Protocol over gRPC, built from a table of their fields.

Names and numbers of fields are those of the public protocol, which clients depend on.
"""

from __future__ import annotations

from functools import cache
from typing import Any

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
