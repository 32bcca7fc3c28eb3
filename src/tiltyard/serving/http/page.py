"""The service's page: files that a browser draws it from, read once, so that no path leads to any other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiltyard.serving.http.routing import METHODS, Handler, allow

CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HOME = "index.html"
# Nothing from elsewhere, nothing written into the page: whatever a model or a card says stays text.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class StaticFile:
    """What is sent, and what tells it from what was there before."""

    content: bytes
    kind: str
    tag: str

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        """Read it once and for all."""
        content = path.read_bytes()
        return cls(content, CONTENT_TYPES[path.suffix], f'"{hashlib.sha256(content).hexdigest()[:16]}"')


def _path(file: Path) -> str:
    """Return where a file is asked for."""
    return "/" if file.name == HOME else f"/page/{file.name}"


FILES = {
    _path(path): StaticFile.read(path)
    for path in sorted((Path(__file__).parent / "static").glob("[!.]*"))
    if path.suffix in CONTENT_TYPES
}


def routes() -> list[Route]:
    """One a file."""
    return [Route(path, allow("GET", _handler(file)), methods=METHODS) for path, file in FILES.items()]


def _handler(file: StaticFile) -> Handler:
    """Send the file, or say that the browser has it: it keeps files, and asks each time whether they still hold."""
    headers = {"etag": file.tag, "cache-control": "no-cache", "content-security-policy": CONTENT_SECURITY_POLICY}

    async def give(request: Request) -> Response:
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {file.tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.kind)

    return give
