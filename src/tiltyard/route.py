"""What the routes of every protocol share: who is asked, how a body is answered, which methods there are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio.to_thread
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from tiltyard.arms import Arms, picked, plain
from tiltyard.body import read
from tiltyard.errors import RequestError
from tiltyard.served import Served

__all__ = ["METHODS", "answered", "encoder", "json", "only", "plain", "predicted", "refused", "served", "versions"]

Handler = Callable[[Request], Awaitable[Response]]
Answer = TypeVar("Answer")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LARGE = 16_384  # bytes of a body from which parsing and predicting would hold up the other clients
LONG = b'"explain"'  # asks for what takes a hundred times as long as an answer

LABELS = ("champion", "previous")  # the registry's words
LONGEST = 300  # characters of a message that may quote what was sent
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}

NAMED = {"version", "label"}  # by which a path names one of a model's versions

encoder = msgspec.json.Encoder()


def served(request: Request) -> Served:
    """Give the model that a path names: the champion, or the version or label that it names if that is still warm."""
    models: dict[str, Served] = request.app.state.models
    name, version = request.path_params["name"], request.path_params.get("version")
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise RequestError("unknown_model", f"expected one of {known}; received {name!r}", "model", status=404)
    if "label" in request.path_params:
        return _labelled(request, name, request.path_params["label"])
    if version is None:
        return models[name]
    kept = _kept(request, name)
    if version not in kept:
        text = f"expected {' or '.join(kept)}; received {version!r}"
        raise RequestError("unknown_version", text, "version", status=404)
    return kept[version]


def _labelled(request: Request, name: str, label: str) -> Served:
    """The registry's words: the champion, and the one before it."""
    labels = dict(zip(LABELS, request.app.state.kept[name].values(), strict=False))
    arms: Arms | None = request.app.state.arms.get(name)
    labels |= {"challenger": arms.challenger} if arms else {}
    if label not in labels:
        text = f"expected {' or '.join(labels)}; received {label!r}"
        raise RequestError("unknown_label", text, "label", status=404)
    found: Served = labels[label]
    return found


def _kept(request: Request, name: str) -> dict[str, Served]:
    """Give what is warm by version, the champion first; a challenger is."""
    arms: Arms | None = request.app.state.arms.get(name)
    return {**request.app.state.kept[name], **({arms.challenger.version: arms.challenger} if arms else {})}


def versions(request: Request) -> list[str]:
    """Give the versions that a path names: one, or all that are warm, the champion first."""
    model = served(request)
    return [model.version] if NAMED & request.path_params.keys() else [*_kept(request, model.task)]


async def answered(request: Request, answer: Callable[[Served, bytes], Answer]) -> Answer:
    """Read the body and answer it: a small one at once, others in a thread, where they wait for each other."""
    scope, state = request.scope, request.app.state
    pick = picked(state, served(request), scope, named=bool(NAMED & request.path_params.keys()))
    model = scope["served"] = pick.model
    body = await read(request, model.max_body_bytes)
    if len(body) < LARGE and LONG not in body:
        done = answer(model, body)
    else:
        done = await anyio.to_thread.run_sync(answer, model, body, limiter=state.turn)
    if pick.noted and state.recorder:
        state.recorder.take(scope, pick, len(body))
    return done


def predicted(model: Served, instances: Any, scope: Scope) -> list[Any]:
    """Answer instances, and leave in the scope what is counted and recorded of it."""
    begun = time.thread_time()
    predictions = model.predict(instances)
    scope["instances"] = len(predictions)
    scope["told"] = instances, predictions, 1000 * (time.thread_time() - begun)
    return predictions


def only(method: str, handler: Handler) -> Handler:
    """Refuse other methods here, since the catch-all route would turn a wrong method into a wrong path."""
    allowed = {"GET": {"GET", "HEAD"}, "POST": {"POST"}}[method]

    async def checked(request: Request) -> Response:
        if request.method not in allowed:
            raise HTTPException(405, f"expected {method}; received {request.method}", {"Allow": ", ".join(allowed)})
        return await handler(request)

    return checked


def refused(path: str, error: RequestError) -> Response:
    """Give a refusal in the one shape of V1, or as the one text of V2; it quotes but the beginning of what was sent."""
    told = {key: text[:LONGEST].encode(errors="replace").decode() for key, text in error.body()["error"].items()}
    field = f"{told['field']}: " if told["field"] else ""
    short = f"{told['code']}: {field}{told['message']}" if path.startswith("/v2") else told
    response = json(encoder.encode({"error": short}), error.status)
    response.headers.update(HEADERS.get(error.status, {}))
    return response


def json(content: bytes, status: int = 200) -> Response:
    """Give a response of JSON."""
    return Response(content, status, media_type="application/json")
