"""The lane of usual requests: rows as JSON for a champion are answered here, before any route is looked for."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard import sheet
from tiltyard.route import LARGE, plain
from tiltyard.served import Served

PREFIX, SUFFIX = "/v1/models/", ":predict"
LONG = tuple(kind.encode() for kind in sheet.KINDS)  # types of bodies that are not JSON


class Lane:
    """A layer of ASGI: what it cannot answer goes on to the routes as if nothing had been."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at once, or leave it to the routes."""
        if scope["type"] != "http" or not (model := _asked(scope)):
            await self.app(scope, receive, send)
            return
        message = await receive()
        if answer := _answer(model, message):
            content, scope["instances"] = answer
            scope["served"] = model
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": content})
        else:
            await self.app(scope, _again(message, receive), send)


def _asked(scope: Scope) -> Served | None:
    """Give the champion that is asked by its name, unless the body may not be JSON."""
    path: str = scope["path"]
    if scope["method"] != "POST" or not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    model: Served | None = scope["app"].state.models.get(path[len(PREFIX) : -len(SUFFIX)])
    if not model or not model.shortcut:
        return None
    for name, value in scope["headers"]:
        if name == b"content-encoding" or (name == b"content-type" and value.strip().lower().startswith(LONG)):
            return None
    return model if plain(scope["app"].state, model.task) else None


def _answer(model: Served, message: Message) -> tuple[bytes, int] | None:
    """Answer a body that came in one piece and is small enough to hold nobody up."""
    if message["type"] != "http.request" or message.get("more_body"):
        return None
    body: bytes = message.get("body", b"")
    if len(body) >= LARGE or len(body) > model.max_body_bytes or not model.shortcut:
        return None
    return model.shortcut.answer(body)


def _again(message: Message, receive: Receive) -> Receive:
    """Let the first message be received once more."""
    first = [message]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received
