"""The fast path of the app: rows as JSON for a champion are answered here, before any route is looked for."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard.serving.http.admission import Headers
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import table_body
from tiltyard.serving.requests.predict_request import MAX_INLINE_BYTES
from tiltyard.serving.traffic.traffic_split import is_bypassed

PREFIX, SUFFIX = "/v1/models/", ":predict"
NON_JSON_TYPES = tuple(kind.encode() for kind in table_body.MEDIA_TYPES)  # types of bodies that are not JSON


class FastPathMiddleware:
    """A layer of ASGI: what it cannot answer goes on to the routes as if nothing had been."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, or leave it to the routes."""
        if scope["type"] != "http" or not (model := _find_model(scope)):
            await self.app(scope, receive, send)
            return
        message = await receive()
        whole = message["type"] == "http.request" and not message.get("more_body")
        if whole and (answer := try_answer(scope["app"].state, model, message.get("body", b""))):
            content, scope["instances"] = answer
            scope["model"] = model
            headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})
        else:
            await self.app(scope, _replay(message, receive), send)


def _find_model(scope: Scope) -> LoadedModel | None:
    posted = scope["method"] == "POST"
    return find_champion(scope["app"].state, scope["path"], scope["headers"]) if posted else None


def find_champion(state: Any, path: str, headers: Headers) -> LoadedModel | None:
    """Return the champion that is asked by its name, unless the body may not be JSON."""
    if not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    model: LoadedModel | None = state.models.get(path[len(PREFIX) : -len(SUFFIX)])
    if not model or not model.compiled_request:
        return None
    for name, value in headers:
        if name == b"content-encoding" or (
            name == b"content-type" and value.strip().lower().startswith(NON_JSON_TYPES)
        ):
            return None
    return model


def try_answer(state: Any, model: LoadedModel, body: bytes) -> tuple[bytes, int] | None:
    """Answer a body that is small enough to hold nobody up, and say how many instances it has."""
    if not state.fast_path or state.admission.is_full:
        return None
    if (
        len(body) >= MAX_INLINE_BYTES
        or len(body) > model.max_body_bytes
        or not model.compiled_request
        or not is_bypassed(state, model.task)
    ):
        return None
    answer = model.compiled_request.respond(body)
    if answer and state.recorder:
        state.recorder.skip()
    return answer


def _replay(message: Message, receive: Receive) -> Receive:
    """Let the first message be received once more."""
    first = [message]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received
