"""The OpenAPI document of the service, written from the schemas of its models."""

from __future__ import annotations

from typing import Any

from tiltyard import feedback, sheet
from tiltyard.tensors import DTYPES

Json = dict[str, Any]

REFUSAL = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("code", "message", "field")},
            "required": ["code", "message", "field"],
        }
    },
    "required": ["error"],
}
REFERENCE = {"$ref": "#/components/schemas/Refusal"}
TOLD = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
INFER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    "datatype": {"enum": [*DTYPES, "BYTES"]},
                    "data": {"type": "array"},
                },
                "required": ["name", "shape", "datatype", "data"],
            },
        },
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
    },
    "required": ["inputs"],
}
REFUSALS = {
    "400": "an instance or the body is not what the schema says",
    "404": "no such model",
    "405": "wrong method",
    "413": "too many instances, or too large a body",
    "415": "a compressed body",
}


def openapi(schemas: list[Json]) -> Json:
    """Describe every route, with the instances and predictions of every model."""
    paths: Json = {"/v1/models": {"get": _get("The names of all models")}, "/v2": {"get": _get("The server")}}
    for schema in schemas:
        paths.update(_model(schema))
    for path, summary in {"/livez": "Is alive", "/readyz": "Is ready", "/metrics": "Figures for Prometheus"}.items():
        paths[path] = {"get": {"summary": summary, "tags": ["service"], "responses": {"200": {"description": "yes"}}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tiltyard", "version": "1", "description": "The champions of this project."},
        "paths": paths,
        "components": {"schemas": {"Refusal": REFUSAL, "Told": TOLD}},
    }


def _model(schema: Json) -> Json:
    name = schema["task"]
    return {
        f"/v1/models/{name}:predict": {"post": _predict(schema)},
        f"/v1/models/{name}:feedback": {"post": _feedback(schema)},
        f"/v1/models/{name}": {"get": _get(f"{schema['title']}: state, version, metrics", name)},
        f"/v1/models/{name}/schema": {"get": _get("Its instances, predictions and limits", name)},
        **_tensors(schema),
    }


def _tensors(schema: Json) -> Json:
    """The same model by the Open Inference Protocol; its tensors are told by the model itself."""
    name = schema["task"]
    model, tag = f"/v2/models/{name}", name
    return {
        model: {"get": _get("Its version and tensors, by the Open Inference Protocol", tag)},
        f"{model}/ready": {"get": _get("Is ready", tag)},
        f"{model}/infer": {
            "post": {
                "summary": f"{schema['title']}: tensors in, tensors out",
                "tags": [tag],
                "requestBody": {"required": True, "content": {"application/json": {"schema": INFER}}},
                "responses": {"200": _response("tensors", {"type": "object"}), **_refusals("Told")},
            }
        },
    }


def _predict(schema: Json) -> Json:
    limits = schema["limits"]
    instances = {
        "type": "array",
        "items": schema["instance"],
        "minItems": 1,
        "maxItems": limits["max_instances"],
    }
    body = {
        "type": "object",
        "properties": {"instances": instances, "signature_name": {"const": "serving_default"}},
        "required": ["instances"],
        "additionalProperties": False,
    }
    answer = {
        "type": "object",
        "properties": {
            "predictions": {"type": "array", "items": schema["prediction"]},
            "model": {"const": schema["task"]},
            "version": {"type": "string"},
        },
        "required": ["predictions", "model", "version"],
    }
    content = {"application/json": {"schema": body, "example": {"instances": [schema["example"]]}}}
    if schema["instance"].get("type") == "object":
        content[sheet.CSV] = {"schema": {"type": "string", "description": "a header, and a row an instance"}}
    return {
        "summary": schema["title"],
        "tags": [schema["task"]],
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _response("one prediction an instance", answer), **_refusals()},
    }


def _feedback(schema: Json) -> Json:
    """Truths are what answers are: labels, numbers, or lists of them."""
    prediction = schema["prediction"]
    truth = prediction.get("properties", {}).get("label") or prediction.get("properties", {}).get("forecast")
    properties = {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$", "description": "x-request-id of the answer"},
        "instance": {"type": "integer", "minimum": 0, "maximum": schema["limits"]["max_instances"] - 1},
        "truth": truth or prediction,
    }
    item = {"type": "object", "properties": properties, "required": ["id", "truth"], "additionalProperties": False}
    body = {
        "type": "object",
        "properties": {"feedback": {"type": "array", "items": item, "minItems": 1, "maxItems": feedback.MOST}},
        "required": ["feedback"],
        "additionalProperties": False,
    }
    answer = {"type": "object", "properties": {"kept": {"type": "integer"}, "model": {"const": schema["task"]}}}
    refusals = {**_refusals(), "501": _response("this service keeps nothing", REFERENCE)}
    return {
        "summary": f"{schema['title']}: what became true of earlier answers",
        "tags": [schema["task"]],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": _response("all are kept", answer), **refusals},
    }


def _get(summary: str, tag: str = "models") -> Json:
    return {"summary": summary, "tags": [tag], "responses": {"200": _response("the answer", {"type": "object"})}}


def _refusals(shape: str = "Refusal") -> Json:
    return {status: _response(text, {"$ref": f"#/components/schemas/{shape}"}) for status, text in REFUSALS.items()}


def _response(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
