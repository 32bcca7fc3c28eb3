"""Integrity of files of other tools, before they are used: DVC's cache against its hashes, and SQLite databases."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C, ten times as fast, where PyYAML was built with it
PathOf = Callable[[str], str]  # returns the path of the content that has a hash

MAGIC = b"SQLite format 3\0"
BESIDE = ("", "-journal", "-wal", "-shm")  # the files of one database


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


def damage(path: Path) -> str:
    """Return what is wrong with a database; empty if it is whole, empty, missing, or in use."""
    if not path.exists():
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
        if head and head != MAGIC:
            return "it is not a SQLite database"
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
        ) as connection:
            (report,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return ""  # locked by its owner, or in a folder that cannot be written
    except sqlite3.DatabaseError as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if report == "ok" else " ".join(str(report).split())


def set_aside(path: Path) -> Path:
    """Rename a database and the files beside it; return its new path."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    for end in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    return aside
