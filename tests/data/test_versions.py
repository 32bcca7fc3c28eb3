"""Versions of data: each is recorded once, compared with others, and restored exactly."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data import dvc, fetch, versions
from tiltyard.data.diff import compare
from tiltyard.errors import DataError
from tiltyard.preparation.modalities.base import version_reader
from tiltyard.workspace import Workspace


@pytest.fixture
def iris(workspace: Workspace) -> Task:
    """Iris with two versions: the original, and one with a row removed and a row changed."""
    task = loader.load(workspace, "iris")
    fetch.get(workspace, task)
    path = workspace.raw("iris") / "table.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "9.9,3.0,1.4,0.2,setosa", *lines[7:]]) + "\n")
    fetch.get(workspace, task)
    return task


def _names(workspace: Workspace) -> list[str]:
    return [version.data[:12] for version in versions.recorded(workspace, "iris")]


def _git(workspace: Workspace, *words: str) -> str:
    command = ["git", "-C", str(workspace.root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_every_version_is_listed(workspace: Workspace, iris: Task) -> None:
    """Hash, time, rows and bytes are listed, and fetching the same data adds no version."""
    fetch.get(workspace, iris)
    first, second = versions.list_versions(workspace, "iris", version_reader(iris))
    assert (first["rows"], second["rows"]) == (150, 149)
    assert second["data"] == files.sha256(workspace.raw("iris"))
    assert (first["here"], second["here"]) == (False, True)
    assert first["bytes"] > second["bytes"] > 1000


def test_commit_of_a_version_is_reported(workspace: Workspace, iris: Task) -> None:
    """The commit is the first whose pointer names the version, or None."""
    for command in (
        ["init", "-q"],
        ["add", "data"],
        ["-c", "user.name=x", "-c", "user.email=x@y", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=workspace.root, check=True)
    first, second = versions.list_versions(workspace, "iris", version_reader(iris))
    assert (first["commit"], second["commit"]) == (None, _git(workspace, "log", "-1", "--format=%h"))


def test_changes_are_reported(workspace: Workspace, iris: Task) -> None:
    """By default, the present data are compared with the version before."""
    difference = versions.diff(workspace, "iris", version_reader(iris))
    assert difference.rows == (150, 149)
    assert (difference.added, difference.removed, difference.changed) == (1, 2, 0)
    assert difference.examples["added"] == [4]
    assert difference.examples["removed"] == [4, 5]
    assert versions.diff(workspace, "iris", version_reader(iris), *_names(workspace)).added == 1
    assert versions.diff(workspace, "iris", version_reader(iris), *_names(workspace)[::-1]).added == 2


def test_earlier_version_is_restored_exactly(workspace: Workspace, iris: Task) -> None:
    """A checkout stays after a fetch, and the stages use it."""
    first, second = _names(workspace)
    versions.checkout(workspace, iris.name, first)
    assert files.sha256(workspace.raw("iris")).startswith(first)
    assert not dvc.changed(workspace, workspace.raw("iris"))
    assert fetch.get(workspace, iris).data.startswith(first)
    versions.checkout(workspace, iris.name, second)
    assert files.sha256(workspace.raw("iris")).startswith(second)
    assert _names(workspace) == [first, second]


def test_version_is_pulled_from_the_remote(workspace: Workspace, iris: Task) -> None:
    """A clone without a cache pulls from the remote, and a lost version is reported."""
    dvc.push(workspace, workspace.raw("iris"))
    first = _names(workspace)[0]
    versions.checkout(workspace, iris.name, first)
    dvc.push(workspace, workspace.raw("iris"))
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    assert versions.diff(workspace, "iris", version_reader(iris), first).added == 0
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    shutil.rmtree(workspace.root / ".dvcstore")
    with pytest.raises(DataError, match="neither in DVC's cache nor in the remote"):
        versions.diff(workspace, "iris", version_reader(iris), first)


def test_edits_prevent_a_checkout(workspace: Workspace, iris: Task) -> None:
    """Edits that are not a version yet prevent a checkout."""
    path = workspace.raw("iris") / "table.csv"
    path.write_text(path.read_text() + "5.0,3.0,1.4,0.2,setosa\n")
    with pytest.raises(DataError, match="edits that are not a version yet") as caught:
        versions.checkout(workspace, iris.name, _names(workspace)[0])
    assert "tiltyard fetch iris" in caught.value.hint


@pytest.mark.parametrize("name", ["", "ab", "zzzz"])
def test_unknown_version_is_rejected(workspace: Workspace, iris: Task, name: str) -> None:
    """The error lists the known versions."""
    with pytest.raises(DataError, match=_names(workspace)[0]):
        versions.checkout(workspace, iris.name, name)


@pytest.mark.usefixtures("iris")
def test_commands_print_text_or_json(workspace: Workspace) -> None:
    """`data TASK` prints a list, and --json prints JSON."""
    run = CliRunner()
    assert "149" in run.invoke(cli, ["data", "iris"]).output
    assert [row["rows"] for row in json.loads(run.invoke(cli, ["data", "iris", "--json"]).output)] == [150, 149]
    output = run.invoke(cli, ["data", "diff", "iris"]).output
    assert "1 rows added: row 4" in output
    assert "2 rows removed: row 4, 5" in output
    first = _names(workspace)[0]
    assert f"is restored to version {first}" in run.invoke(cli, ["data", "checkout", "iris", first[:6]]).output


def test_rows_are_matched_by_key_column() -> None:
    """With a key column, moved rows are equal, and changed cells are counted."""
    old = pd.DataFrame({"id": [1, 2, 3, 4], "town": ["a", "b", "c", None], "old": 0})
    new = pd.DataFrame({"id": [4, 3, 2, 5], "town": [None, "x", "b", "d"], "new": 0})
    difference = compare("t", ("1", "2"), (old, new))
    assert (difference.key, difference.added, difference.removed, difference.changed) == ("id", 1, 1, 1)
    assert difference.cells == {"town": 1}
    assert difference.examples == {"added": [5], "removed": [1], "changed": [3]}
    assert (difference.columns_added, difference.columns_removed) == (["new"], ["old"])


def test_shift_in_values_is_reported() -> None:
    """A shifted column is reported with both means, and others are not."""
    old = pd.DataFrame({"x": [float(n % 50) for n in range(500)], "y": [float(n % 7) for n in range(500)]})
    difference = compare("t", ("1", "2"), (old, old.assign(x=old["x"] + 20)))
    (line,) = difference.spread
    assert (line["column"], line["old"], line["new"]) == ("x", "mean 24.5", "mean 44.5")


ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=30)


@settings(deadline=None)
@given(old=ROWS, new=ROWS)
def test_added_and_removed_rows_sum_to_the_difference(old: list[tuple[int, str]], new: list[tuple[int, str]]) -> None:
    """Added minus removed rows equal the change of the number of rows."""
    frames = [pd.DataFrame(rows, columns=["number", "letter"]) for rows in (old, new)]
    difference = compare("t", ("1", "2"), (frames[0], frames[1]))
    assert difference.added - difference.removed == len(new) - len(old)
    if not difference.key:
        assert (difference.added == difference.removed == 0) == (sorted(old) == sorted(new))


def test_truncated_version_list_is_reported(workspace: Workspace, iris: Task) -> None:
    """A truncated list raises an error with the command that restores it."""
    path: Path = workspace.versions("iris")
    path.write_text(path.read_text()[:-40])
    with pytest.raises(DataError, match="expected one version in each line") as caught:
        versions.list_versions(workspace, "iris", version_reader(iris))
    assert caught.value.hint == "restore it: git checkout data/versions/iris.jsonl"
