"""Databases of the tools below: a damaged one ends in a sentence with its cure, or is put aside, and soon."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import edit_task, fetch_raw

from pipelines import server
from tiltyard.config import loader
from tiltyard.data import sqlite_file
from tiltyard.errors import WorkspaceError
from tiltyard.experiments import search
from tiltyard.experiments.optuna_study import OptunaStudy
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace


def garbage(path: Path) -> None:
    """Write what never was a database."""
    path.write_bytes(os.urandom(8192))


def torn(path: Path) -> None:
    """Write a database, and overwrite its middle."""
    made(path)
    content = bytearray(path.read_bytes())
    content[4096 : len(content) - 4096] = os.urandom(len(content) - 8192)
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Write a database, and keep its first half."""
    made(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def made(path: Path) -> None:
    """Write a database of several pages."""
    with sqlite3.connect(path) as database:
        database.execute("create table facts (name text primary key, value text)")
        database.executemany("insert into facts values (?, ?)", [(str(n), "x" * 200) for n in range(500)])
    database.close()


DAMAGED = [garbage, torn, cut]


@pytest.fixture
def searching(workspace: Workspace) -> Workspace:
    """Iris, prepared, with a range to search."""
    edit_task(workspace, "iris", {"search": {"train.learning_rate": {"low": 0.001, "high": 0.1}}})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    workspace.search("iris").parent.mkdir(parents=True)
    return workspace


@pytest.mark.parametrize("spoil", DAMAGED)
def test_a_damaged_search_names_its_cure(searching: Workspace, spoil: Callable[[Path], None]) -> None:
    """The sentence names file and command; once that was typed, the search begins anew."""
    task, path = loader.load(searching, "iris"), searching.search("iris")
    spoil(path)
    with pytest.raises(WorkspaceError, match="the trials of earlier searches cannot be read: ") as caught:
        search.search(searching, task, 1, 1, lambda _: None)
    command = caught.value.hint.removeprefix("move it away and start again: ").split()
    assert command == ["mv", str(path), f"{path}.damaged"]
    path.rename(command[2])
    assert OptunaStudy(search.search_spec(searching, task)).finished() == []


def test_a_database_of_something_else_is_no_search(searching: Workspace) -> None:
    """Whole, but with tables of other things under the names of ours."""
    with sqlite3.connect(searching.search("iris")) as database:
        database.execute("create table studies (colour text)")
        database.execute("create table version_info (colour text)")
    database.close()
    with pytest.raises(WorkspaceError, match="the trials of earlier searches cannot be read"):
        OptunaStudy(search.search_spec(searching, loader.load(searching, "iris"))).finished()


def test_whole_absent_and_locked_databases_are_fine(tmp_path: Path) -> None:
    """Nothing is said of what may be used, or is."""
    path = tmp_path / "facts.db"
    assert sqlite_file.damage(path) == ""
    path.touch()
    assert sqlite_file.damage(path) == ""
    made(path)
    assert sqlite_file.damage(path) == ""
    with sqlite3.connect(path) as database:
        database.execute("begin exclusive")
        assert sqlite_file.damage(path) == ""
    database.close()


@pytest.mark.parametrize("spoil", DAMAGED)
def test_a_damaged_history_is_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None]
) -> None:
    """Before the server starts, with the files beside it; it is said where it lies."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv(server.DATABASE_URL, raising=False)
    spoil(tmp_path / "prefect.db")
    (tmp_path / "prefect.db-wal").touch()
    server._set_damaged_database_aside()
    assert not (tmp_path / "prefect.db").exists()
    assert "its history of runs was moved to" in capsys.readouterr().err
    assert len(list(tmp_path.glob("prefect.db.damaged-*"))) == 2


@pytest.mark.smoke
def test_a_run_does_not_wait_for_a_server_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole database that is none of Prefect's ends the real server, and that is noticed long before two minutes."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv(server.API_URL, raising=False)
    monkeypatch.delenv(server.DATABASE_URL, raising=False)
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("create table flow (colour text)")
        database.execute("create table alembic_version (version_num text)")
        database.execute("insert into alembic_version values ('nobody knows this one')")
    database.close()
    began = time.monotonic()
    with pytest.raises(WorkspaceError, match="Prefect's server ended with") as caught, server.running_server():
        server.wait_until_ready()
    assert f"mv {tmp_path / 'prefect.db'}" in caught.value.hint
    assert time.monotonic() - began < server.START_SECONDS
