"""What all routes of the OpenAPI document share: refusals, headers, keys, and how an answer is described."""

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
ERROR_SCHEMAS = {"V1": "Refusal", "V2": "Told"}
ERRORS = {
    "400": "an instance or the body is not what the schema says",
    "401": "no key, or one that nobody was given",
    "403": "the token of another answer, or of none",
    "404": "no such model, version, label or signature; or nothing that could be kept",
    "405": "wrong method",
    "413": "too many instances, or too large a body",
    "415": "a compressed body, a table where an instance is more than a row, or feedback that is not sent as JSON",
    "429": "too many requests at a time, or too much feedback",
    "503": "not done within the time that a request may take",
}
COMMON_ERRORS = ("401", "404", "405", "429", "503")
BODY_ERRORS = ("400", "413", "415")  # more, where a body is read
TEXT = {"type": "string"}
HEADERS: Json = {  # beside X-Request-Id, which all have
    "401": {"WWW-Authenticate": {"schema": {"const": "Bearer"}}},
    "405": {"Allow": {"schema": TEXT}},
    "429": {"Retry-After": {"schema": TEXT, "description": "seconds"}},
    "503": {"Retry-After": {"schema": TEXT, "description": "seconds"}},
}
ID_HEADER = {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}}
TOKEN_HEADER: Json = {
    "X-Feedback-Token": {"$ref": "#/components/headers/X-Feedback-Token"}
}  # of an answer that is recorded
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def components(*, locked: bool) -> Json:
    """Return what paths refer to; `locked` says whether a key is asked for."""
    text = "the client's own, if it is 1 to 64 letters, digits, dots, dashes and underscores; or one that was made up"
    return {
        "schemas": {"Refusal": V1_ERROR, "Told": V2_ERROR},
        "headers": {
            "X-Request-Id": {"schema": TEXT, "description": text},
            "X-Feedback-Token": {
                "schema": {"type": "string", "pattern": feedback_token.PATTERN},
                "description": "where the answer is recorded: send it with what became true",
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


def error_responses(protocol: str, *more: str) -> Json:
    """Name the refusals of a route."""
    return {
        status: {"$ref": f"#/components/responses/{protocol}-{status}"} for status in sorted([*COMMON_ERRORS, *more])
    }


def json_response(text: str, schema: Json, headers: Json = ID_HEADER) -> Json:
    """Describe an answer of JSON."""
    return {"description": text, "headers": headers, "content": {"application/json": {"schema": schema}}}


def get_operation(protocol: str, summary: str, tag: str, schema: Json) -> Json:
    """Describe a route that is only read."""
    answers = {"200": json_response("the answer", schema), **error_responses(protocol)}
    return {"get": {"summary": summary, "tags": [tag], "responses": answers}}


def object_schema(properties: Json, *optional: str) -> Json:
    """Describe an object of which all is there, but for what is optional."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def array_schema(items: Json, most: int | None = None) -> Json:
    """Describe a list; one that a client sends has at least one item, and at most so many."""
    return {"type": "array", "items": items, **({"minItems": 1, "maxItems": most} if most else {})}


def path_parameter(name: str, values: list[str]) -> Json:
    """Describe a part of a path."""
    return {"name": name, "in": "path", "required": True, "schema": {"enum": values}}
