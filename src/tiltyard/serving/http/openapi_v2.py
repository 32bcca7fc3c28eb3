"""OpenAPI document, part for the Open Inference Protocol (V2)."""

from __future__ import annotations

from collections.abc import Mapping

from tiltyard.files import Json
from tiltyard.serving.http.openapi_schemas import (
    BODY_ERRORS,
    ID_HEADER,
    TEXT,
    TOKEN_HEADER,
    array_schema,
    error_responses,
    get_operation,
    json_response,
    object_schema,
    path_parameter,
)
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import DTYPES
from tiltyard.serving.requests.v2_codec import LENGTH_HEADER

DATATYPE = {"enum": [*DTYPES, "BYTES"]}
SHAPE = array_schema({"type": "integer"})
TENSOR = object_schema({"name": TEXT, "datatype": DATATYPE, "shape": SHAPE})
PARAMETERS = {"type": "object", "description": "parameters of the protocol"}
BINARY_DESCRIPTION = "JSON, followed by the bytes of the tensors with the parameter binary_data_size"


def server() -> Json:
    """Return the paths about the server."""
    health = object_schema({"live": {"const": True}, "ready": {"const": True}})
    metadata = object_schema({"name": TEXT, "version": TEXT, "extensions": array_schema(TEXT)})
    return {
        "/v2": get_operation("V2", "The server", "models", metadata),
        "/v2/health/live": get_operation("V2", "Is alive", "service", health),
        "/v2/health/ready": get_operation("V2", "Is ready", "service", health),
    }


def paths(name: str, versions: Mapping[str, LoadedModel]) -> Json:
    """Return the paths of a model, by name, and by name and version."""
    model, operations = next(iter(versions.values())), {}
    for suffix in ("", "/versions/{version}"):
        path = f"/v2/models/{name}{suffix}"
        parameters = {"parameters": [path_parameter("version", [*versions])]} if suffix else {}
        operations[path] = {
            **parameters,
            **get_operation("V2", "Versions and tensors of a model", name, _metadata(name)),
        }
        operations[f"{path}/ready"] = {**parameters, **get_operation("V2", "Is ready", name, _ready(name))}
        operations[f"{path}/infer"] = {**parameters, "post": _infer(model)}
    return operations


def _metadata(name: str) -> Json:
    tensors = array_schema(TENSOR)
    facts = {
        "name": {"const": name},
        "versions": array_schema(TEXT),
        "platform": TEXT,
        "inputs": tensors,
        "outputs": tensors,
    }
    return object_schema(facts)


def _ready(name: str) -> Json:
    return object_schema({"name": {"const": name}, "ready": {"const": True}})


def _infer(model: LoadedModel) -> Json:
    text = "number of bytes of JSON before the binary data; without it, the whole body is JSON"
    length = {"name": LENGTH_HEADER, "in": "header", "schema": {"type": "integer", "minimum": 0}, "description": text}
    success = json_response("tensors", _response(model))
    success["content"]["application/octet-stream"] = {"schema": {"description": BINARY_DESCRIPTION}}
    success["headers"] = {
        **ID_HEADER,
        **TOKEN_HEADER,
        LENGTH_HEADER: {"schema": {"type": "integer"}, "description": text},
    }
    content = {"application/json": {"schema": _request_schema(model), "example": _example(model)}}
    content["application/octet-stream"] = {"schema": {"description": BINARY_DESCRIPTION}}
    return {
        "summary": f"{model.schema['title']}: tensors in, tensors out",
        "tags": [model.task],
        "parameters": [length],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": success, **error_responses("V2", *BODY_ERRORS)},
    }


def _request_schema(model: LoadedModel) -> Json:
    """Return the request schema; JSON Schema cannot express that shape and data agree."""
    names, shape = [tensor.name for tensor in model.inputs], {"type": "integer", "minimum": 0}
    data = {"type": "array", "description": "flat, or nested like the shape"}
    tensor = {
        "name": {"enum": names},
        "shape": {**array_schema(shape), "minItems": 1, "maxItems": 32},
        "datatype": DATATYPE,
        "data": data,
        "parameters": PARAMETERS,
    }
    inputs = {
        **array_schema(object_schema(tensor, "data", "parameters")),
        "minItems": len(names),
        "maxItems": len(names),
    }
    outputs = array_schema(
        object_schema(
            {"name": {"enum": [output.name for output in model.outputs]}, "parameters": PARAMETERS}, "parameters"
        )
    )
    properties = {"id": TEXT, "parameters": PARAMETERS, "inputs": inputs, "outputs": outputs}
    return object_schema(properties, "id", "parameters", "outputs")


def _example(model: LoadedModel) -> Json:
    """Return the example of the model as tensors with one row."""
    example = model.schema["example"]
    parts = {model.inputs[0].name: example} if model.predictor.encoder.bare else example
    return {
        "inputs": [
            {**tensor.metadata, "shape": [1, *tensor.shape], "data": [parts[tensor.name]]} for tensor in model.inputs
        ]
    }


def _response(model: LoadedModel) -> Json:
    names = {"enum": [output.name for output in model.outputs]}
    tensor = {"name": names, "datatype": DATATYPE, "shape": SHAPE, "data": {"type": "array"}, "parameters": PARAMETERS}
    outputs = array_schema(object_schema(tensor, "data", "parameters"))
    facts = {"model_name": {"const": model.task}, "model_version": TEXT, "id": TEXT, "outputs": outputs}
    return object_schema(facts, "id")
