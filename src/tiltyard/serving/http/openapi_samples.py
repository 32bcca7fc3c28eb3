"""Routes of generative models in the OpenAPI document: samples, and codes of rows."""

from __future__ import annotations

from tiltyard.files import Json
from tiltyard.serving.http.openapi_schemas import (
    BODY_ERRORS,
    array_schema,
    error_responses,
    json_response,
    object_schema,
)
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.sample_request import DEFAULT_COUNT, LARGEST, MAX_SEED

PICTURE: Json = {
    **object_schema({"b64": {"type": "string", "description": "a PNG in Base64"}}),
    "additionalProperties": False,
}


def paths(model: LoadedModel, named: Json) -> dict[str, Json]:
    """Return the operations by suffix of the path; none for other models."""
    found: dict[str, Json] = {}
    if "sampling" in model.schema:
        found[":sample"] = _sample(model, named)
    if "code" in model.schema["prediction"].get("properties", {}):
        found[":encode"] = _encode(model, named)
    return found


def _sample(model: LoadedModel, named: Json) -> Json:
    sampling, limit = model.schema["sampling"], model.schema["limits"]["max_instances"]
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    code = {**array_schema(number), "minItems": sampling["code"], "maxItems": sampling["code"]}
    label = {"class": {"enum": sampling["classes"]}} if sampling["classes"] else {}
    drawn = {
        "count": {"type": "integer", "minimum": 1, "maximum": limit, "default": min(DEFAULT_COUNT, limit)},
        "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED, "default": 0},
        **label,
    }
    bodies = [object_schema(drawn, *drawn), object_schema({"code": array_schema(code, limit), **label}, "class")]
    body = {"anyOf": [{**each, "additionalProperties": False} for each in bodies]}
    sample = object_schema({"image": PICTURE, "code": {**code, "items": {"type": "number"}}, **label})
    response = object_schema({"samples": array_schema(sample), **named})
    text = "samples: the same seed gives the same ones, and a smaller count the first of them"
    return _operation(model, text, body, {"count": min(4, limit), "seed": 1}, response)


def _encode(model: LoadedModel, named: Json) -> Json:
    rows = array_schema(model.schema["instance"], model.schema["limits"]["max_instances"])
    body = {**object_schema({"instances": rows}), "additionalProperties": False}
    code = model.schema["prediction"]["properties"]["code"]
    response = object_schema({"codes": array_schema(code), **named})
    return _operation(model, "codes of rows", body, {"instances": [model.schema["example"]]}, response)


def _operation(model: LoadedModel, text: str, body: Json, example: Json, response: Json) -> Json:
    content = {"application/json": {"schema": body, "example": example}}
    return {
        "post": {
            "summary": f"{model.schema['title']}: {text}",
            "tags": [model.task],
            "requestBody": {"required": True, "content": content},
            "responses": {"200": json_response(text, response), **error_responses("V1", *BODY_ERRORS)},
        }
    }
