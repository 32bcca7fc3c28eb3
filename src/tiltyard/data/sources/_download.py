"""Resumable HTTP downloads with retries, progress and checksums; a file gets its name only when it is complete."""

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

from tiltyard import files
from tiltyard.errors import SourceError
from tiltyard.runtime import progress

BLOCK_BYTES = 1 << 18
TIMEOUT_SECONDS = 30.0  # without a byte
MAX_TRIES = 4  # in a row without progress
PAUSE_SECONDS = 0.5  # before the second try; doubled for each further one
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, OSError)


def download(url: str, folder: Path, sha256: str | None) -> Path:
    """Download a file; return its path. If a file with the checksum is there already, nothing is downloaded."""
    stored = stored_path(url, folder, sha256)
    with files.locked(stored.with_name(f"{stored.name}.lock")):
        if sha256 and stored.is_file() and has_checksum(stored, sha256):
            return stored
        part = stored.with_name(f"{stored.name}.part")
        _download_all(url, part, verifiable=sha256 is not None)
        if sha256 and not has_checksum(part, sha256):
            received = files.file_digest(part).hex()
            part.unlink()
            _version_file(part).unlink(missing_ok=True)
            raise SourceError(
                f"{without_secrets(url)}: expected SHA-256 {sha256}; received {received}", hint="see source.sha256"
            )
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(stored)
        _version_file(part).unlink(missing_ok=True)
        files.sync_folder(folder)
    return stored


def stored_path(url: str, folder: Path, sha256: str | None) -> Path:
    """Return the path at which the file of a URL is stored."""
    key = sha256 or hashlib.sha256(url.encode()).hexdigest()
    return folder / f"{key[:16]}-{PurePosixPath(urlsplit(url).path).name}"


def has_checksum(path: Path, sha256: str) -> bool:
    """Return whether a file has a checksum."""
    return files.file_digest(path).hex() == sha256


def without_secrets(url: str) -> str:
    """Return a URL without possible secrets: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _download_all(url: str, part: Path, *, verifiable: bool) -> None:
    """Request until all bytes are there; keep a partial file if a checksum or version can prove that it continues."""
    failures = 0
    while True:
        before = _size(part)
        try:
            if _request_rest(url, part, verifiable=verifiable):
                return
            reason = f"the connection ended after {_size(part)} bytes"
        except NETWORK_ERRORS as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429:
                raise SourceError(f"{without_secrets(url)}: the server answers {error.code} {error.reason}") from None
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        failures = 0 if _size(part) > before and (verifiable or _stored_version(part)) else failures + 1
        if failures >= MAX_TRIES:
            hint = "try again: the download continues where it stopped"
            raise SourceError(f"{without_secrets(url)}: could not be downloaded: {reason}", hint=hint)
        time.sleep(PAUSE_SECONDS * 2 ** max(failures - 1, 0))


def _request_rest(url: str, part: Path, *, verifiable: bool) -> bool:
    """Request the missing bytes; return whether the file is complete now."""
    start, version = _size(part), _stored_version(part)
    headers = {"User-Agent": "tiltyard", "Accept-Encoding": "identity"}
    if start and (version or verifiable):
        headers |= {"Range": f"bytes={start}-", **({"If-Range": version} if version else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the source allows only http and https
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416 or "Range" not in headers:
            raise
        error.close()
        part.unlink()  # longer than the file on the server: another version
        return False
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        if response.status != 206:
            start = 0
            _version_file(part).write_text(_version(response), encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with progress.progress_bar(PurePosixPath(urlsplit(url).path).name, total, start) as report:
            received = _copy(response, file, start, report)
    return total is None or received == total


def _copy(response: Any, file: IO[bytes], received: int, report: Any) -> int:
    while block := response.read(BLOCK_BYTES):
        file.write(block)
        received += len(block)
        report(received)
    return received


def _version(response: Any) -> str:
    """Return the ETag or the time of a file; no weak ETag, as that does not guarantee the same bytes."""
    tag = response.headers.get("ETag", "")
    return (tag if tag and not tag.startswith("W/") else "") or response.headers.get("Last-Modified", "") or ""


def _stored_version(part: Path) -> str:
    """Return the version of a partial file; empty if its server did not name one."""
    return _version_file(part).read_text(encoding="utf-8") if _version_file(part).is_file() else ""


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
