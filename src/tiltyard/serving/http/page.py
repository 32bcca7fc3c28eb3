"""Web page of the service: static files, read at import, so that no request path reaches other files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiltyard.serving.http.routing import METHODS, Handler, allow

CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HOME = "index.html"
# No external resources and no inline scripts: text from models and cards is never executed.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class StaticFile:
    """The content of a file, its media type and ETag."""

    content: bytes
    media_type: str
    tag: str

    @classmethod
    def read(cls, path: Traversable) -> StaticFile:
        """Read a file and compute its ETag."""
        content = path.read_bytes()
        return cls(content, CONTENT_TYPES[PurePath(path.name).suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def _path(name: str) -> str:
    """Return the URL path of a file."""
    return "/" if name == HOME else f"/page/{name}"


STATIC = resources.files(__package__ or "") / "static"  # which may lie in a wheel
FILES = {
    _path(path.name): StaticFile.read(path)
    for path in sorted(STATIC.iterdir(), key=lambda path: path.name)
    if PurePath(path.name).suffix in CONTENT_TYPES and not path.name.startswith(".")
}


def routes() -> list[Route]:
    """Return a route for each file."""
    return [Route(path, allow("GET", _handler(file)), methods=METHODS) for path, file in FILES.items()]


def _handler(file: StaticFile) -> Handler:
    """Return a handler that sends the file, or 304 if the browser has the same version."""
    headers = {"etag": file.tag, "cache-control": "no-cache", "content-security-policy": CONTENT_SECURITY_POLICY}

    async def send(request: Request) -> Response:
        etags = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if etags & {file.tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)

    return send
