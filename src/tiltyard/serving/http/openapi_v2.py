"""The part of the OpenAPI document that is about the Open Inference Protocol, V2."""

from __future__ import annotations

from collections.abc import Mapping

from tiltyard.files import Json
from tiltyard.serving.http.openapi_schemas import (
    BODY,
    ID,
    TEXT,
    TOKEN,
    get,
    listed,
    parameter,
    refusals,
    response,
    whole,
)
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import DTYPES
from tiltyard.serving.requests.v2_codec import LENGTH

TYPES = {"enum": [*DTYPES, "BYTES"]}
SHAPE = listed({"type": "integer"})
TENSOR = whole({"name": TEXT, "datatype": TYPES, "shape": SHAPE})
MORE = {"type": "object", "description": "parameters of the protocol"}
BYTES = "JSON, and behind it the bytes of the tensors whose parameters say binary_data_size"


def server() -> Json:
    """Describe what is asked of the server, and not of a model."""
    health = whole({"live": {"const": True}, "ready": {"const": True}})
    about = whole({"name": TEXT, "version": TEXT, "extensions": listed(TEXT)})
    return {
        "/v2": get("V2", "The server", "models", about),
        "/v2/health/live": get("V2", "Is alive", "service", health),
        "/v2/health/ready": get("V2", "Is ready", "service", health),
    }


def paths(name: str, kept: Mapping[str, LoadedModel]) -> Json:
    """Describe a model by its name, or by its name and version."""
    model, found = next(iter(kept.values())), {}
    for which in ("", "/versions/{version}"):
        path = f"/v2/models/{name}{which}"
        shared = {"parameters": [parameter("version", [*kept])]} if which else {}
        found[path] = {**shared, **get("V2", "Its versions and tensors", name, _about(name))}
        found[f"{path}/ready"] = {**shared, **get("V2", "Is ready", name, _ready(name))}
        found[f"{path}/infer"] = {**shared, "post": _infer(model)}
    return found


def _about(name: str) -> Json:
    tensors = listed(TENSOR)
    facts = {"name": {"const": name}, "versions": listed(TEXT), "platform": TEXT, "inputs": tensors, "outputs": tensors}
    return whole(facts)


def _ready(name: str) -> Json:
    return whole({"name": {"const": name}, "ready": {"const": True}})


def _infer(model: LoadedModel) -> Json:
    text = "where JSON ends and bytes begin; without it all is JSON"
    length = {"name": LENGTH, "in": "header", "schema": {"type": "integer", "minimum": 0}, "description": text}
    wanted = response("tensors", _answer(model))
    wanted["content"]["application/octet-stream"] = {"schema": {"description": BYTES}}
    wanted["headers"] = {**ID, **TOKEN, LENGTH: {"schema": {"type": "integer"}, "description": text}}
    content = {"application/json": {"schema": _request(model), "example": _example(model)}}
    content["application/octet-stream"] = {"schema": {"description": BYTES}}
    return {
        "summary": f"{model.schema['title']}: tensors in, tensors out",
        "tags": [model.task],
        "parameters": [length],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": wanted, **refusals("V2", *BODY)},
    }


def _request(model: LoadedModel) -> Json:
    """Each input once; a JSON Schema cannot say that shape and data agree."""
    names, shape = [tensor.name for tensor in model.inputs], {"type": "integer", "minimum": 0}
    data = {"type": "array", "description": "flat, or nested as the shape says"}
    tensor = {
        "name": {"enum": names},
        "shape": {**listed(shape), "minItems": 1, "maxItems": 32},
        "datatype": TYPES,
        "data": data,
        "parameters": MORE,
    }
    inputs = {**listed(whole(tensor, "data", "parameters")), "minItems": len(names), "maxItems": len(names)}
    outputs = listed(whole({"name": {"enum": [one.name for one in model.outputs]}, "parameters": MORE}, "parameters"))
    properties = {"id": TEXT, "parameters": MORE, "inputs": inputs, "outputs": outputs}
    return whole(properties, "id", "parameters", "outputs")


def _example(model: LoadedModel) -> Json:
    """The example of the model as tensors of one row."""
    example = model.schema["example"]
    parts = {model.inputs[0].name: example} if model.predictor.encoder.bare else example
    return {"inputs": [{**one.described, "shape": [1, *one.shape], "data": [parts[one.name]]} for one in model.inputs]}


def _answer(model: LoadedModel) -> Json:
    names = {"enum": [one.name for one in model.outputs]}
    told = {"name": names, "datatype": TYPES, "shape": SHAPE, "data": {"type": "array"}, "parameters": MORE}
    outputs = listed(whole(told, "data", "parameters"))
    facts = {"model_name": {"const": model.task}, "model_version": TEXT, "id": TEXT, "outputs": outputs}
    return whole(facts, "id")
