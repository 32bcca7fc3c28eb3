"""Requests of recommendations, of similar items and users, and searches for them: validated, bounded, then answered."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import RequestError, format_value
from tiltyard.modeling.inference.recommender import Recommender
from tiltyard.serving.model.compiled_request import MAX_INLINE_SECONDS
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request
from tiltyard.serving.requests.json_body import decode
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.requests.predict_request import json_encoder

RECOMMEND, SIMILAR, FIND = "recommend", "similar", "find"
PROTOCOLS = (RECOMMEND, SIMILAR, FIND)
MAX_BODY_BYTES = 1 << 17
MAX_K, USUAL_K = 100, 10  # items of an answer
MAX_LISTED = 1000  # items of a request that are excluded, or rated
MAX_TEXT = 200  # characters of an identifier or of a search
KEYS = {
    RECOMMEND: ("user", "ratings", "k", "exclude", "include_rated"),
    SIMILAR: ("item", "user", "k", "exclude"),
    FIND: ("text", "of", "k"),
}


def recommender(model: LoadedModel) -> Recommender:
    """Return the recommender of a model; raise RequestError if it has none."""
    problem, index = model.predictor.encoder.problem, model.predictor.index
    if index is None:
        text = f"expected a model that recommends; {model.task} predicts {model.schema['problem']} only"
        raise RequestError("not_recommended", text, "model", 404)
    return Recommender(index, getattr(problem, "bounds", None))


def respond_if_fast(model: LoadedModel, message: RequestMessage) -> ResponseMessage | None:
    """Return the answer if it takes less than a millisecond by estimate; otherwise None."""
    if not predict_request.is_small(message):  # decoding alone may take 20 ms
        return None
    engine, content = recommender(model), _content(message)
    folded = len(content.get("ratings") or ()) if isinstance(content.get("ratings"), dict) else 0
    seconds = engine.seconds(users=content.get("of") == "user" or "user" in content, folded=folded)
    return _respond(model, message.protocol, content) if seconds < MAX_INLINE_SECONDS else None


def respond(model: LoadedModel, message: RequestMessage) -> ResponseMessage:
    """Answer a request."""
    recommender(model)  # a model that recommends nothing is refused before the body is decoded
    return _respond(model, message.protocol, _content(message))


def _respond(model: LoadedModel, protocol: str, content: dict[str, Any]) -> ResponseMessage:
    start, engine = time.thread_time(), recommender(model)
    answer = {RECOMMEND: _recommend, SIMILAR: _similar, FIND: _find}[protocol](engine, content)
    count = len(next(iter(answer.values())))
    body = json_encoder.encode({**answer, "model": model.task, "version": model.version})
    return ResponseMessage(body, count, 1000 * (time.thread_time() - start))


def _content(message: RequestMessage) -> dict[str, Any]:
    """Return the body, whose keys are known."""
    content, keys = decode(message.body), KEYS[message.protocol]
    if not isinstance(content, dict):
        raise RequestError("wrong_type", f"expected an object with {', '.join(keys)}")
    for key in content:
        if key not in keys:
            raise RequestError("unknown_field", f"expected {', '.join(keys)}", key)
    return content


def _recommend(engine: Recommender, content: dict[str, Any]) -> dict[str, Any]:
    """Recommend items to a user, known or not, or to somebody who has rated some items."""
    if ("user" in content) == ("ratings" in content):
        raise RequestError("missing_field", "expected either user, or ratings: the rating of each item", "user")
    k, exclude = _k(content), _codes(engine.index.item_codes, content.get("exclude", []), "exclude")
    if not isinstance(again := content.get("include_rated", False), bool):
        raise RequestError("wrong_type", f"expected true or false; received {format_value(again)}", "include_rated")
    if "user" in content:
        found, basis = engine.for_user(_name(content["user"], "user"), k, exclude, seen=again)
        return {"recommendations": found, "basis": basis}
    items, ratings = _ratings(engine, content["ratings"])
    if not len(items):
        found, basis = engine.for_user(None, k, exclude)
    else:
        found, basis = engine.for_ratings(items, ratings, k, exclude)
    return {"recommendations": found, "basis": basis}


def _similar(engine: Recommender, content: dict[str, Any]) -> dict[str, Any]:
    """Return the items like an item, or the users like a user."""
    if ("item" in content) == ("user" in content):
        raise RequestError("missing_field", "expected either item or user", "item")
    field = "item" if "item" in content else "user"
    known = engine.index.item_codes if field == "item" else engine.index.user_codes
    name, k = _name(content[field], field), _k(content)
    if name not in known:
        text = (
            f"expected {'an item' if field == 'item' else 'a user'} with training rows; received {format_value(name)}"
        )
        raise RequestError(f"unknown_{field}", text, field, 404)
    find: Callable[[int, int, Array], Any] = engine.like_item if field == "item" else engine.like_user
    return {"similar": find(known[name], k, _codes(known, content.get("exclude", []), "exclude"))}


def _find(engine: Recommender, content: dict[str, Any]) -> dict[str, Any]:
    """Return the items or users whose name holds a text."""
    of = content.get("of", "item")
    if of not in ("item", "user"):
        raise RequestError("wrong_type", f"expected item or user; received {format_value(of)}", "of")
    return {"found": engine.find(_name(content.get("text", ""), "text"), _k(content), users=of == "user")}


def _k(content: dict[str, Any]) -> int:
    """Return how many items are wanted."""
    k = content.get("k", USUAL_K)
    if not isinstance(k, int) or isinstance(k, bool):
        raise RequestError("wrong_type", f"expected a whole number; received {format_value(k)}", "k")
    if not 1 <= k <= MAX_K:
        raise RequestError("out_of_bounds", f"expected 1 to {MAX_K}; received {format_value(k)}", "k")
    return k


def _name(value: object, field: str) -> str:
    """Return an identifier, which may be a number, or the text of a search."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise RequestError("wrong_type", f"expected text or a whole number; received {format_value(value)}", field)
    if isinstance(value, int) and abs(value) >= 2**63:
        raise RequestError("out_of_bounds", "expected a whole number of at most 64 bits", field)
    text = str(value)
    if len(text) > MAX_TEXT:
        raise RequestError("too_long", f"expected at most {MAX_TEXT} characters; received {len(text)}", field)
    return text


def _codes(known: Mapping[str, int], values: object, field: str) -> Array:
    """Return the codes of identifiers; those that are not known exclude nothing."""
    if not isinstance(values, list):
        raise RequestError("wrong_type", "expected a list of identifiers", field)
    if len(values) > MAX_LISTED:
        raise RequestError("too_many", f"expected at most {MAX_LISTED}; received {len(values)}", field, 413)
    names = [_name(value, f"{field}[{place}]") for place, value in enumerate(values)]
    return np.array([known[name] for name in names if name in known], dtype=np.int64)


def _ratings(engine: Recommender, values: object) -> tuple[Array, Array]:
    """Return the codes of rated items with their ratings; items that are not known are left out."""
    if not isinstance(values, dict):
        raise RequestError("wrong_type", "expected an object with the rating of each item", "ratings")
    if len(values) > MAX_LISTED:
        raise RequestError("too_many", f"expected at most {MAX_LISTED}; received {len(values)}", "ratings", 413)
    low, high = engine.bounds or (-math.inf, math.inf)
    for name, rating in values.items():
        if not isinstance(rating, int | float) or isinstance(rating, bool):
            text = f"expected a number; received {format_value(rating)}"
            raise RequestError("wrong_type", text, f"ratings.{name[:MAX_TEXT]}")
        if not low <= rating <= high or abs(rating) > 1e30:
            text = f"expected a rating of {low:g} to {high:g}; received {format_value(rating)}"
            raise RequestError("out_of_bounds", text, f"ratings.{name[:MAX_TEXT]}")
    codes = engine.index.item_codes
    known = {codes[name]: float(rating) for name, rating in values.items() if name in codes}
    return np.array([*known], dtype=np.int64), np.array([*known.values()], dtype=np.float64)
