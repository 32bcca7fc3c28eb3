"""Fast path as middleware: JSON requests to champions are answered by compiled requests, before routing."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard.serving.http.api_keys import Headers
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import table_body
from tiltyard.serving.requests.predict_request import MAX_INLINE_BYTES
from tiltyard.serving.traffic.traffic_split import is_bypassed

PREFIX, SUFFIX = "/v1/models/", ":predict"
NON_JSON_TYPES = tuple(kind.encode() for kind in table_body.MEDIA_TYPES)  # media types of table bodies


class FastPathMiddleware:
    """ASGI middleware that passes all requests that it cannot answer on to the routes, unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond by the fast path, or call the app."""
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
    """Return the champion that a path names; None if the fast path cannot read the body or has no such model."""
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
    """Return the response body and the number of instances; None if the general path must handle the request."""
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
    """Return a receive function that returns a message again before the following ones."""
    first = [message]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received
