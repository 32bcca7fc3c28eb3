"""Integrity of SQLite files of other tools, checked before such a tool waits for a damaged one or fails."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

MAGIC = b"SQLite format 3\0"
BESIDE = ("", "-journal", "-wal", "-shm")  # the files of one database


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
