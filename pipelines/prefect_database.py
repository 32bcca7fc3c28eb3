"""A new database for Prefect: a copy of one that was migrated before, since Prefect's migrations take seconds.

The copy is in the user's cache folder, one for each version of Prefect. It holds tables, and no rows.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.data import integrity

URL = "PREFECT_API_DATABASE_CONNECTION_URL"  # of the database of a team's server
UNUSABLE = (OSError, RuntimeError)  # a cache folder that cannot be read or written, or a user without a home


def path() -> Path:
    """Return the path of the project's database."""
    return Path(os.environ["PREFECT_HOME"]) / "prefect.db"


def template() -> Path:
    """Return the path of the copy for this version of Prefect."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "tiltyard" / f"prefect-{metadata.version('prefect')}.db"


def create() -> bool:
    """Create the project's database from the copy; return whether Prefect has to create it."""
    if URL in os.environ or path().exists():
        return False
    with contextlib.suppress(*UNUSABLE):
        if template().is_file() and not integrity.damage(template()):
            with files.atomic_file(path()) as new:
                shutil.copyfile(template(), new)
            return False
    return True


def keep_copy() -> None:
    """Copy a new database into the cache folder, for the next project; a folder that cannot be written has none."""
    with (
        contextlib.suppress(*UNUSABLE, sqlite3.Error),
        files.atomic_file(template()) as new,
        contextlib.closing(sqlite3.connect(path())) as source,
        contextlib.closing(sqlite3.connect(new)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # one file; Prefect sets its own mode


def copy_when_created(app: Any) -> Any:
    """Return Prefect's app; when it has created its database, and before it takes a request, the copy is made."""
    original = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with original(app) as state:
            keep_copy()
            yield state

    app.router.lifespan_context = lifespan
    return app
