"""API keys: authentication of requests, by a file with a name and the SHA-256 of a key in each line."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from tiltyard import files
from tiltyard.errors import RequestError, WorkspaceError

LINE = re.compile(r"([\w.@-]+) ([0-9a-f]{64})")
NAME = re.compile(r"[\w.@-]{1,100}")
BEARER_PREFIX = b"bearer "
Headers = Iterable[tuple[bytes, bytes]]


def add(path: Path, name: str) -> str:
    """Create a key for a name, store its hash and return the key, which is stored nowhere."""
    if not NAME.fullmatch(name):
        raise WorkspaceError(f"expected a name of letters, digits, dots and dashes; received {name!r}")
    hashes = read(path) if path.is_file() else {}
    if name in hashes:
        hint = f"choose another name, or remove its line: {path}"
        raise WorkspaceError(f"{path}: {name} has a key already, which cannot be shown again", hint)
    key = secrets.token_urlsafe(32)
    lines = [f"{owner} {digest}" for owner, digest in {**hashes, name: _digest(key)}.items()]
    files.write_text(path, "\n".join([*lines, ""]))
    return key


def read(path: Path) -> dict[str, str]:
    """Return hashes by name; raise WorkspaceError if the file is missing, invalid or empty."""
    hint = f"create a key: tiltyard key NAME --file {path}"
    if not path.is_file():
        raise WorkspaceError(f"no keys: expected {path}", hint)
    hashes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if not (match := LINE.fullmatch(line.strip())):
            raise WorkspaceError(f"{path}, line {number}: expected NAME and the SHA-256 of a key", hint)
        hashes[match[1]] = match[2]
    if not hashes:
        raise WorkspaceError(f"{path}: expected at least one key; received none", hint)
    return hashes


def authenticate(hashes: dict[str, str], headers: Headers) -> str:
    """Return the name of the owner of a request's key; raise RequestError if the key is missing or unknown."""
    if name := find_name(hashes, _api_key(headers)):
        return name
    raise RequestError("unknown_key", "expected a key: Authorization: Bearer KEY", status=401)


def _api_key(headers: Headers) -> str:
    """Return the API key of a request from either of the two usual headers."""
    for name, value in headers:
        if name == b"authorization" and value[: len(BEARER_PREFIX)].lower() == BEARER_PREFIX:
            return str(value[len(BEARER_PREFIX) :].strip(), "latin-1")
        if name == b"x-api-key":
            return str(value.strip(), "latin-1")
    return ""


def find_name(hashes: dict[str, str], key: str) -> str:
    """Return the name of a key's owner, or an empty text; the time taken does not depend on the key."""
    digest, owner = _digest(key), ""
    for name, stored_digest in hashes.items():
        if hmac.compare_digest(digest, stored_digest):
            owner = name
    return owner


def _digest(key: str) -> str:
    """Return the SHA-256 of a key: keys are long and random, so a slow hash is not needed."""
    return hashlib.sha256(key.encode()).hexdigest()
