"""Downloads that go on where they were cut, show how far they are, and have their name only when they are whole."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from tiltyard import files, progress
from tiltyard.errors import SourceError

BLOCK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
TRIES = 4  # in a row that bring nothing
PAUSE = 0.5  # seconds before the second try; doubled for each further
CUT = (urllib.error.URLError, http.client.HTTPException, OSError)


def download(url: str, folder: Path, sha256: str | None) -> Path:
    """Return the whole file, named by checksum or address; if the checksum is there already, nothing is downloaded."""
    whole = place(url, folder, sha256)
    with files.locked(whole.with_name(f"{whole.name}.lock")):
        if sha256 and whole.is_file() and matches(whole, sha256):
            return whole
        part = whole.with_name(f"{whole.name}.part")
        _fill(url, part, sure=sha256 is not None)
        if sha256 and not matches(part, sha256):
            received = files.file_digest(part).hex()
            part.unlink()
            _mark(part).unlink(missing_ok=True)
            raise SourceError(f"{shown(url)}: expected SHA-256 {sha256}; received {received}", hint="see source.sha256")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(whole)
        _mark(part).unlink(missing_ok=True)
        files.sync_folder(folder)
    return whole


def place(url: str, folder: Path, sha256: str | None) -> Path:
    """Return where the file of an address lies when it is there."""
    key = sha256 or hashlib.sha256(url.encode()).hexdigest()
    return folder / f"{key[:16]}-{PurePosixPath(urlsplit(url).path).name}"


def matches(path: Path, sha256: str) -> bool:
    """Return whether a file has a checksum."""
    return files.file_digest(path).hex() == sha256


def shown(url: str) -> str:
    """Return an address without what may be a secret: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _fill(url: str, part: Path, *, sure: bool) -> None:
    """Ask until all bytes are there; what a broken try brought is kept, if the next can prove to go on from it."""
    failures = 0
    while True:
        before = _size(part)
        try:
            if _ask(url, part, sure=sure):
                return
            reason = f"{_size(part)} bytes came, then nothing"
        except CUT as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                raise SourceError(f"{shown(url)}: the server answers {error.code} {error.reason}") from None
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        failures = 0 if _size(part) > before and (sure or _known(part)) else failures + 1
        if failures >= TRIES:
            hint = "try again: it goes on from what is there"
            raise SourceError(f"{shown(url)}: could not be downloaded: {reason}", hint=hint)
        time.sleep(PAUSE * 2 ** max(failures - 1, 0))


def _ask(url: str, part: Path, *, sure: bool) -> bool:
    """Ask for what is missing; say whether the file is whole now."""
    start, version = _size(part), _known(part)
    headers = {"User-Agent": "tiltyard", "Accept-Encoding": "identity"}
    if start and (version or sure):
        headers |= {"Range": f"bytes={start}-", **({"If-Range": version} if version else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http alone: the source sees to it
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416 or "Range" not in headers:
            raise
        error.close()
        part.unlink()  # more than the server has: another version
        return False
    with answer, part.open("ab" if answer.status == 206 else "wb") as file:
        if answer.status != 206:
            start = 0
            _mark(part).write_text(_version(answer), encoding="utf-8")
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with progress.watched(PurePosixPath(urlsplit(url).path).name, total, start) as tell:
            done = _copy(answer, file, start, tell)
    return total is None or done == total


def _copy(answer: Any, file: IO[bytes], done: int, tell: Any) -> int:
    while block := answer.read(BLOCK):
        file.write(block)
        done += len(block)
        tell(done)
    return done


def _version(answer: Any) -> str:
    """Return what names the version of a file on its server: no weak tag, which does not promise the same bytes."""
    tag = answer.headers.get("ETag", "")
    return (tag if tag and not tag.startswith("W/") else "") or answer.headers.get("Last-Modified", "") or ""


def _known(part: Path) -> str:
    """Return the version of which a part is there; nothing if its server names none."""
    return _mark(part).read_text(encoding="utf-8") if _mark(part).is_file() else ""


def _mark(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
