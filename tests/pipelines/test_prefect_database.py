"""A new database of Prefect is a copy of one that was migrated before."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tiltyard.pipelines import prefect_database

TABLES = "SELECT name FROM sqlite_master ORDER BY name"


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project and a cache folder, both empty."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(prefect_database.URL, raising=False)


def _write(path: Path, table: str) -> None:
    """Write a database in the mode that Prefect uses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"CREATE TABLE {table} (id)")
        database.commit()


def _tables(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute(TABLES)]


def test_second_project_starts_with_the_tables_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first project's database is created by Prefect and copied; the next one begins with the copy."""
    assert prefect_database.create()
    _write(prefect_database.path(), "flow")
    prefect_database.keep_copy()
    assert [path.name for path in prefect_database.template().parent.iterdir()] == [prefect_database.template().name]
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "second"))
    assert not prefect_database.create()
    assert _tables(prefect_database.path()) == ["flow"]


def test_existing_database_is_not_replaced() -> None:
    """A project keeps the history of its runs."""
    _write(prefect_database.path(), "own")
    _write(prefect_database.template(), "copied")
    assert not prefect_database.create()
    assert _tables(prefect_database.path()) == ["own"]


def test_database_of_a_team_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an address of a database, none is created here."""
    monkeypatch.setenv(prefect_database.URL, "postgresql+asyncpg://team/prefect")
    assert not prefect_database.create()
    assert not prefect_database.path().exists()


def test_damaged_copy_is_not_used() -> None:
    """Prefect creates the database then, and a new copy replaces the damaged one."""
    prefect_database.template().parent.mkdir(parents=True)
    prefect_database.template().write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert prefect_database.create()
    _write(prefect_database.path(), "flow")
    prefect_database.keep_copy()
    assert _tables(prefect_database.template()) == ["flow"]


def test_cache_folder_that_cannot_be_written_is_ignored(tmp_path: Path) -> None:
    """A run needs no copy."""
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    assert prefect_database.create()
    _write(prefect_database.path(), "flow")
    prefect_database.keep_copy()


def test_user_without_a_home_has_no_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some containers run as a user that is not in the system's list."""
    monkeypatch.delenv("XDG_CACHE_HOME")

    def expanduser(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", expanduser)
    assert prefect_database.create()
    prefect_database.keep_copy()


def test_copy_is_made_before_the_server_takes_requests() -> None:
    """Rows of runs cannot be in it."""

    @contextlib.asynccontextmanager
    async def start(_: Any) -> AsyncIterator[None]:
        _write(prefect_database.path(), "flow")
        yield

    app = prefect_database.copy_when_created(SimpleNamespace(router=SimpleNamespace(lifespan_context=start)))

    async def run() -> bool:
        async with app.router.lifespan_context(app):
            return prefect_database.template().is_file()

    assert asyncio.run(run())
