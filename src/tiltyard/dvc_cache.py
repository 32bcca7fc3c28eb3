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


def drop_damaged(place: Place, digests: Iterable[str]) -> list[str]:
    """Remove what is not what its name says, folders with all that is in them; return the hashes of it."""
    dropped: list[str] = []
    for digest in digests:
        path = Path(place(digest))
        if not path.is_file():
            continue
        if _md5(path) != digest.removesuffix(".dir"):
            path.unlink()
            dropped.append(digest)
        elif digest.endswith(".dir"):
            dropped += drop_damaged(place, [entry["md5"] for entry in json.loads(path.read_bytes())])
    return dropped


def outputs(lock: Path, stage: str) -> list[str]:
    """Return the hashes of what a stage has made, as dvc.lock tells; none of a file that is torn."""
    with contextlib.suppress(OSError, yaml.YAMLError, AttributeError, TypeError, KeyError):
        content: Any = yaml.safe_load(lock.read_text(encoding="utf-8"))
        return [str(out["md5"]) for out in content["stages"][stage]["outs"]]
    return []


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
