"""Damaged databases of the tools: an error with a fix, or the file is moved aside, without a long wait."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import edit_task, fetch_raw

from tiltyard.config import loader
from tiltyard.data import integrity
from tiltyard.errors import WorkspaceError
from tiltyard.experiments import search
from tiltyard.experiments.optuna_study import OptunaStudy
from tiltyard.pipelines import prefect_database, server
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace


def write_garbage(path: Path) -> None:
    """Write random bytes."""
    path.write_bytes(os.urandom(8192))


def write_corrupted(path: Path) -> None:
    """Write a database, and overwrite its middle."""
    write_database(path)
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = os.urandom(len(content) - 8192)
    path.write_bytes(content)


def write_truncated(path: Path) -> None:
    """Write a database, and keep its first half."""
    write_database(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_database(path: Path) -> None:
    """Write a database of several pages."""
    with sqlite3.connect(path) as database:
        database.execute("create table facts (name text primary key, value text)")
        database.executemany("insert into facts values (?, ?)", [(str(n), "x" * 200) for n in range(500)])
    database.close()


DAMAGES = [write_garbage, write_corrupted, write_truncated]


@pytest.fixture
def search_project(workspace: Workspace) -> Workspace:
    """A prepared iris project with a search range."""
    edit_task(workspace, "iris", {"search": {"train.learning_rate": {"low": 0.001, "high": 0.1}}})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    workspace.search("iris").parent.mkdir(parents=True)
    return workspace


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_search_database_error_gives_a_fix(search_project: Workspace, damage: Callable[[Path], None]) -> None:
    """The error names the file and a command; after the command, a search starts from scratch."""
    task, path = loader.load(search_project, "iris"), search_project.search("iris")
    damage(path)
    with pytest.raises(WorkspaceError, match="the trials of earlier searches cannot be read: ") as caught:
        search.search(search_project, task, 1, 1, lambda _: None)
    command = caught.value.hint.removeprefix("move it away and start again: ").split()
    assert command == ["mv", str(path), f"{path}.damaged"]
    path.rename(command[2])
    assert OptunaStudy(search.search_spec(search_project, task)).finished() == []


def test_database_with_other_tables_is_rejected(search_project: Workspace) -> None:
    """The database is intact, but its tables have other columns."""
    with sqlite3.connect(search_project.search("iris")) as database:
        database.execute("create table studies (colour text)")
        database.execute("create table version_info (colour text)")
    database.close()
    with pytest.raises(WorkspaceError, match="the trials of earlier searches cannot be read"):
        OptunaStudy(search.search_spec(search_project, loader.load(search_project, "iris"))).finished()


def test_intact_absent_and_locked_databases_are_accepted(tmp_path: Path) -> None:
    """Usable databases, and those in use, are not reported as damaged."""
    path = tmp_path / "facts.db"
    assert integrity.damage(path) == ""
    path.touch()
    assert integrity.damage(path) == ""
    write_database(path)
    assert integrity.damage(path) == ""
    with sqlite3.connect(path) as database:
        database.execute("begin exclusive")
        assert integrity.damage(path) == ""
    database.close()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_history_is_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    """Before the server starts, the database and its side files are moved, and the new path is printed."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv(prefect_database.URL, raising=False)
    damage(tmp_path / "prefect.db")
    (tmp_path / "prefect.db-wal").touch()
    server._set_damaged_database_aside()
    assert not (tmp_path / "prefect.db").exists()
    assert "its history of runs was moved to" in capsys.readouterr().err
    assert len(list(tmp_path.glob("prefect.db.damaged-*"))) == 2


@pytest.mark.smoke
def test_run_does_not_wait_for_a_server_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a database of another tool the real server exits, which is noticed long before the timeout."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv(server.API_URL, raising=False)
    monkeypatch.delenv(prefect_database.URL, raising=False)
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("create table flow (colour text)")
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('nobody knows this one')")
    database.close()
    started = time.monotonic()
    with pytest.raises(WorkspaceError, match="Prefect's server ended with") as caught, server.running_server():
        server.wait_until_ready()
    assert f"mv {tmp_path / 'prefect.db'}" in caught.value.hint
    assert time.monotonic() - started < server.START_SECONDS
