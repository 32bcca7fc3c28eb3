"""OpenAPI entries of recommendations, similar items and users, and the search for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiltyard.files import Json
from tiltyard.serving.http.openapi_schemas import (
    BODY_ERRORS,
    TEXT,
    array_schema,
    error_responses,
    json_response,
    object_schema,
)
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.recommend_request import (
    FIND,
    MAX_K,
    MAX_LISTED,
    MAX_TEXT,
    RECOMMEND,
    SIMILAR,
    USUAL_K,
    recommender,
)

NAME = {"type": ["string", "integer"], "maxLength": MAX_TEXT, "minimum": -(2**63) + 1, "maximum": 2**63 - 1}
K = {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": USUAL_K}
NAMES = {"type": "array", "items": NAME, "maxItems": MAX_LISTED}
NUMBER, COUNT = {"type": "number"}, {"type": "integer", "minimum": 0}
UNKNOWN = "; an unknown user gets the most popular items, and `basis` says so"


def operations(model: LoadedModel) -> Iterator[tuple[str, Json]]:
    """Yield the operations of a model that recommends by their names; none for other models."""
    if model.predictor.index is None:
        return
    title = model.schema["title"]
    yield RECOMMEND, _operation(model, f"{title}: items for a user", _recommend_bodies(model), _recommended())
    yield (
        SIMILAR,
        _operation(model, f"{title}: items like an item, users like a user", _similar_bodies(model), _alike()),
    )
    yield FIND, _operation(model, f"{title}: search for items or users", _find_bodies(), _found())


def _operation(model: LoadedModel, summary: str, bodies: tuple[list[Json], Json], answer: Json) -> Json:
    schemas, example = bodies
    identity = {"model": {"const": model.task}, "version": {"const": model.version}}
    answer = object_schema({**answer, **identity})
    return {
        "summary": summary,
        "tags": [model.task],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"anyOf": schemas}, "example": example}},
        },
        "responses": {"200": json_response("the answer", answer), **error_responses("V1", *BODY_ERRORS)},
    }


def _closed(properties: Json, *optional: str) -> Json:
    return {**object_schema(properties, *optional), "additionalProperties": False}


def _recommend_bodies(model: LoadedModel) -> tuple[list[Json], Json]:
    engine = recommender(model)
    low, high = engine.bounds or (-1e30, 1e30)
    rating = {"type": "number", "minimum": low, "maximum": high}
    ratings = {"type": "object", "additionalProperties": rating, "maxProperties": MAX_LISTED}
    again = {"type": "boolean", "default": False, "description": "whether to list items that the user has rated"}
    options = {"k": K, "exclude": NAMES, "include_rated": again}
    by_user = _closed({"user": {**NAME, "description": f"the user{UNKNOWN}"}, **options}, *options)
    by_ratings = _closed({"ratings": {**ratings, "description": "the rating of each item"}, **options}, *options)
    return [by_user, by_ratings], {"user": str(engine.index.users[1]), "k": 5}


def _similar_bodies(model: LoadedModel) -> tuple[list[Json], Json]:
    options = {"k": K, "exclude": NAMES}
    bodies = [_closed({field: NAME, **options}, *options) for field in ("item", "user")]
    return bodies, {"item": str(recommender(model).index.items[1]), "k": 5}


def _find_bodies() -> tuple[list[Json], Json]:
    properties = {"text": NAME, "of": {"enum": ["item", "user"]}, "k": K}
    return [_closed(properties, *properties)], {"text": "a", "of": "item", "k": 5}


def _recommended() -> dict[str, Any]:
    item = object_schema({"item": TEXT, "title": TEXT, "score": NUMBER, "rating": NUMBER})
    basis = {
        "enum": ["user", "ratings", "popularity"],
        "description": "user: the vector that was learned; ratings: one that fits the ratings of the request; "
        "popularity: nothing is known",
    }
    return {"recommendations": array_schema(item), "basis": basis}


def _alike() -> dict[str, Any]:
    numbers = {"cosine": {"type": "number", "minimum": -1.001, "maximum": 1.001}, "ratings": COUNT}
    kinds = [object_schema({"item": TEXT, "title": TEXT, **numbers}), object_schema({"user": TEXT, **numbers})]
    return {"similar": array_schema({"anyOf": kinds})}


def _found() -> dict[str, Any]:
    kinds = [
        object_schema({"item": TEXT, "title": TEXT, "ratings": COUNT}),
        object_schema({"user": TEXT, "ratings": COUNT}),
    ]
    return {"found": array_schema({"anyOf": kinds})}
