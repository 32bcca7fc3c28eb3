"""Parts shared by all routes of the OpenAPI document: errors, headers, security schemes, schema builders."""

from __future__ import annotations

from tiltyard.files import Json
from tiltyard.serving.traffic import feedback_token

V1_ERROR = {  # of V1
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {name: {"type": "string"} for name in ("code", "message", "field")},
            "required": ["code", "message", "field"],
            "additionalProperties": False,
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
V2_ERROR = {  # of V2
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
ERROR_SCHEMAS = {"V1": "V1Error", "V2": "V2Error"}
ERRORS = {
    "400": "the body or an instance does not match the schema",
    "401": "no API key, or an unknown one",
    "403": "a token that does not belong to the response",
    "404": "no such model, version, label or signature; or the service records no predictions",
    "405": "wrong method",
    "413": "too many instances, or too large a body",
    "415": "a compressed body, a table for a model whose instances are not rows, or feedback that is not JSON",
    "429": "too many requests at a time, or too much feedback",
    "503": "not completed within the time limit, or not available now",
}
COMMON_ERRORS = ("401", "404", "405", "429", "503")
BODY_ERRORS = ("400", "413", "415")  # in addition, for routes with a body
TEXT = {"type": "string"}
HEADERS: Json = {  # in addition to X-Request-Id, which all responses have
    "401": {"WWW-Authenticate": {"schema": {"const": "Bearer"}}},
    "405": {"Allow": {"schema": TEXT}},
    "429": {"Retry-After": {"schema": TEXT, "description": "seconds"}},
    "503": {"Retry-After": {"schema": TEXT, "description": "seconds"}},
}
ID_HEADER = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
TOKEN_HEADER: Json = {
    "X-Feedback-Token": {"$ref": "#/components/headers/X-Feedback-Token"}
}  # if the response is recorded
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def components(*, locked: bool) -> Json:
    """Return the components that paths refer to; `locked`: an API key is required."""
    text = "the client's own, if it is 1 to 64 letters, digits, dots, dashes and underscores; otherwise a random one"
    return {
        "schemas": {"V1Error": V1_ERROR, "V2Error": V2_ERROR},
        "headers": {
            "X-Request-Id": {"schema": TEXT, "description": text},
            "X-Feedback-Token": {
                "schema": {"type": "string", "pattern": feedback_token.PATTERN},
                "description": "if the prediction is recorded: send it with the ground truth",
            },
        },
        "responses": {
            f"{protocol}-{status}": _error_response(protocol, status) for protocol in ERROR_SCHEMAS for status in ERRORS
        },
        **({"securitySchemes": SECURITY_SCHEMES} if locked else {}),
    }


def _error_response(protocol: str, status: str) -> Json:
    schema = {"$ref": f"#/components/schemas/{ERROR_SCHEMAS[protocol]}"}
    headers = {**HEADERS.get(status, {}), **ID_HEADER}
    return {"description": ERRORS[status], "headers": headers, "content": {"application/json": {"schema": schema}}}


def error_responses(protocol: str, *other_statuses: str) -> Json:
    """Return references to the error responses of a route."""
    return {
        status: {"$ref": f"#/components/responses/{protocol}-{status}"}
        for status in sorted([*COMMON_ERRORS, *other_statuses])
    }


def json_response(text: str, schema: Json, headers: Json = ID_HEADER) -> Json:
    """Return the description of a JSON response."""
    return {"description": text, "headers": headers, "content": {"application/json": {"schema": schema}}}


def get_operation(protocol: str, summary: str, tag: str, schema: Json) -> Json:
    """Return the description of a GET route."""
    responses = {"200": json_response("the response", schema), **error_responses(protocol)}
    return {"get": {"summary": summary, "tags": [tag], "responses": responses}}


def object_schema(properties: Json, *optional: str) -> Json:
    """Return the schema of an object; all properties are required except the optional ones."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def array_schema(items: Json, max_items: int | None = None) -> Json:
    """Return the schema of an array; with `max_items`, it has from 1 to `max_items` items."""
    return {"type": "array", "items": items, **({"minItems": 1, "maxItems": max_items} if max_items else {})}


def path_parameter(name: str, values: list[str]) -> Json:
    """Return the description of a path parameter."""
    return {"name": name, "in": "path", "required": True, "schema": {"enum": values}}
