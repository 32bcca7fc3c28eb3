"""Integrity of DVC's cache: check files against their hashes. DVC trusts its cache, so damage would be restored."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, ten times as fast, where PyYAML was built with it
PathOf = Callable[[str], str]  # returns the path of the content that has a hash


def drop_damaged(path_of: PathOf, digests: Iterable[str], *, recursive: bool = True) -> list[str]:
    """Remove files whose content does not match their hash, for folders also those inside; return their hashes."""
    dropped: list[str] = []
    for digest in digests:
        path = Path(path_of(digest))
        if not path.is_file():
            continue
        if _md5(path) != digest.removesuffix(".dir"):
            path.unlink()
            dropped.append(digest)
        elif recursive:
            dropped += drop_damaged(path_of, contents(path_of, digest))
    return dropped


def missing(path_of: PathOf, digests: Iterable[str]) -> list[str]:
    """Return the hashes that the cache lacks, for folders also those of the files inside."""
    required = [item for digest in digests for item in (digest, *contents(path_of, digest))]
    return [digest for digest in required if not Path(path_of(digest)).is_file()]


def contents(path_of: PathOf, digest: str, folder: Path = Path()) -> dict[str, Path]:
    """Return the files of a folder by their hashes; empty if it is not a folder, is missing or cannot be read."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        if digest.endswith(".dir"):
            return {entry["md5"]: folder / entry["relpath"] for entry in json.loads(Path(path_of(digest)).read_bytes())}
    return {}


def outputs(lock: Path, stage: str) -> list[str]:
    """Return the hashes of the outputs of a stage, as dvc.lock records them; none if dvc.lock is damaged."""
    with contextlib.suppress(OSError, yaml.YAMLError, AttributeError, TypeError, KeyError):
        content: Any = yaml.load(lock.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - a SafeLoader
        return [str(out["md5"]) for out in content["stages"][stage]["outs"]]
    return []


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
