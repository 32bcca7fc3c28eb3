"""DVC's cache, looked at byte by byte: DVC trusts what lies there, so that a flipped bit would come back for ever."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

Place = Callable[[str], str]  # where the content of a hash lies


def drop_damaged(place: Place, digests: Iterable[str], *, inside: bool = True) -> list[str]:
    """Remove what is not what its name says, of folders also what is inside; return the hashes of it."""
    dropped: list[str] = []
    for digest in digests:
        path = Path(place(digest))
        if not path.is_file():
            continue
        if _md5(path) != digest.removesuffix(".dir"):
            path.unlink()
            dropped.append(digest)
        elif inside:
            dropped += drop_damaged(place, contents(place, digest))
    return dropped


def missing(place: Place, digests: Iterable[str]) -> list[str]:
    """Return the hashes of what is not there, folders with all that is in them."""
    wanted = [one for digest in digests for one in (digest, *contents(place, digest))]
    return [digest for digest in wanted if not Path(place(digest)).is_file()]


def contents(place: Place, digest: str, folder: Path = Path()) -> dict[str, Path]:
    """Return the files of a folder by their hashes; none of what is no folder, is not there, or cannot be read."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        if digest.endswith(".dir"):
            return {entry["md5"]: folder / entry["relpath"] for entry in json.loads(Path(place(digest)).read_bytes())}
    return {}


def outputs(lock: Path, stage: str) -> list[str]:
    """Return the hashes of what a stage has made, as dvc.lock tells; none of a file that is torn."""
    with contextlib.suppress(OSError, yaml.YAMLError, AttributeError, TypeError, KeyError):
        content: Any = yaml.safe_load(lock.read_text(encoding="utf-8"))
        return [str(out["md5"]) for out in content["stages"][stage]["outs"]]
    return []


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
