"""What the routes of every protocol share: who is asked, how a body is answered, which methods there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio.to_thread
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tiltyard.body import read
from tiltyard.errors import RequestError
from tiltyard.served import Served

Handler = Callable[[Request], Awaitable[Response]]
Answer = TypeVar("Answer")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LARGE = 16_384  # bytes of a body from which parsing and predicting would hold up the other clients

encoder = msgspec.json.Encoder()


def served(request: Request) -> Served:
    """Give the model that a path names; a version must be the one that is served."""
    models: dict[str, Served] = request.app.state.models
    name, version = request.path_params["name"], request.path_params.get("version")
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise RequestError("unknown_model", f"expected one of {known}; received {name!r}", "model", status=404)
    model = models[name]
    if version not in (None, model.version):
        raise RequestError("unknown_version", f"expected {model.version}; received {version!r}", "version", status=404)
    return model


async def answered(request: Request, answer: Callable[[Served, bytes], Answer]) -> Answer:
    """Read the body and answer it: a small one at once, large ones in a thread, where they wait for each other."""
    model = served(request)
    body = await read(request, model.max_body_bytes)
    if len(body) < LARGE:
        return answer(model, body)
    return await anyio.to_thread.run_sync(answer, model, body, limiter=request.app.state.turn)


def only(method: str, handler: Handler) -> Handler:
    """Refuse other methods here, since the catch-all route would turn a wrong method into a wrong path."""
    allowed = {"GET": {"GET", "HEAD"}, "POST": {"POST"}}[method]

    async def checked(request: Request) -> Response:
        if request.method not in allowed:
            raise HTTPException(405, f"expected {method}; received {request.method}", {"Allow": ", ".join(allowed)})
        return await handler(request)

    return checked


def json(content: bytes, status: int = 200) -> Response:
    """Give a response of JSON."""
    return Response(content, status, media_type="application/json")
