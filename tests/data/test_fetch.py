"""Fetching: the content of data/raw afterwards, and the handling of edits by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import edit_task

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.data.fetch import Fetched, fetch, get
from tiltyard.data.sources.sine import Sine
from tiltyard.data.sources.sklearn import Sklearn
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace


@pytest.fixture
def sine(workspace: Workspace) -> Task:
    """A task whose source needs no other package."""
    return loader.load(workspace, "sine")


@pytest.fixture
def edited(workspace: Workspace, sine: Task) -> Path:
    """A fetched raw file that was edited by hand."""
    fetch(workspace, sine)
    path = workspace.raw("sine") / "series.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("\n5,", "\n5,9", 1), encoding="utf-8")
    return path


def test_fetched_data_are_hashed_versioned_and_pushed(workspace: Workspace, sine: Task) -> None:
    """Fetching leaves the raw file, its pointer, and a copy in the default remote."""
    assert fetch(workspace, sine) == Fetched(files.sha256(workspace.raw("sine")), "new")
    assert (workspace.root / "data/raw/sine.dvc").is_file()
    assert any((workspace.root / ".dvcstore").rglob("*.dir"))


def test_checksums_can_be_checked_by_sha256sum(workspace: Workspace, sine: Task) -> None:
    """`sha256sum -c` accepts the recorded checksums."""
    fetch(workspace, sine)
    check = ["sha256sum", "--check", "--strict", "sine.sha256"]
    assert subprocess.run(check, cwd=workspace.raw("sine").parent, capture_output=True, check=False).returncode == 0


def test_fetching_again_changes_nothing(workspace: Workspace, sine: Task) -> None:
    """Fetching the same bytes changes no file, not even its time."""
    first = fetch(workspace, sine)
    paths = [path for path in (workspace.root / "data").rglob("*") if path.is_file()]
    times = {path: path.stat().st_mtime_ns for path in paths}
    assert fetch(workspace, sine) == Fetched(first.data, "same")
    assert {path: path.stat().st_mtime_ns for path in paths} == times


def test_changed_source_creates_a_new_version(workspace: Workspace, sine: Task) -> None:
    """Data without edits are updated from their source."""
    first = fetch(workspace, sine)
    edit_task(workspace, "sine", {"source.seed": 1})
    second = fetch(workspace, loader.load(workspace, "sine"))
    assert second.state == "new"
    assert second.data != first.data


def test_manual_edits_are_kept_as_a_version(workspace: Workspace, sine: Task, edited: Path) -> None:
    """Edits by hand survive later fetches."""
    content = edited.read_bytes()
    assert fetch(workspace, sine).state == "edited"
    assert fetch(workspace, sine).state == "edited"
    assert edited.read_bytes() == content
    assert not dvc.changed(workspace, workspace.raw("sine"))


def test_force_restores_the_source(workspace: Workspace, sine: Task, edited: Path) -> None:
    """With force, edits are overwritten."""
    assert fetch(workspace, sine, force=True).state == "new"
    assert "\n5,9" not in edited.read_text(encoding="utf-8")


def test_added_file_counts_as_an_edit(workspace: Workspace, sine: Task) -> None:
    """The whole folder is compared, not only the files of the source."""
    fetch(workspace, sine)
    (workspace.raw("sine") / "more.csv").write_text("step,value\n", encoding="utf-8")
    assert fetch(workspace, sine).state == "edited"


class Broken(Sine):
    """A source that fails like a network source."""

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write half a file."""
        (folder / "series.csv").write_text("step,va", encoding="utf-8")
        raise ConnectionResetError("the other side hung up")


class Empty(Sine):
    """A source without files."""

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write nothing."""


@pytest.mark.parametrize(("source", "message"), [(Broken, "hung up"), (Empty, "expected files; it wrote none")])
def test_failing_source_keeps_the_old_data(workspace: Workspace, sine: Task, source: type[Sine], message: str) -> None:
    """A partial download never replaces complete data."""
    before = fetch(workspace, sine)
    with pytest.raises(SourceError, match=message):
        fetch(workspace, sine.model_copy(update={"source": source(kind="sine")}))
    assert files.sha256(workspace.raw("sine")) == before.data


@pytest.fixture
def iris(workspace: Workspace) -> Task:
    """A fetched task whose source knows the version of its data."""
    task = loader.load(workspace, "iris")
    assert get(workspace, task).state == "new"
    return task


def _refuse(*_: object) -> None:
    raise OSError("it is fetched")


def test_data_of_a_known_version_are_not_fetched_again(
    workspace: Workspace, iris: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled data of the same libraries and settings are the same, so the source is not opened."""
    monkeypatch.setattr(Sklearn, "fetch", _refuse)
    assert get(workspace, iris).state == "same"
    assert get(workspace, iris) == Fetched(files.sha256(workspace.raw("iris")), "same")


def _edit_by_hand(workspace: Workspace, _: pytest.MonkeyPatch) -> None:
    (path,) = workspace.raw("iris").iterdir()
    path.write_text("edited", encoding="utf-8")


def _upgrade(_: Workspace, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sklearn, "version", lambda _: "scikit-learn 9")


def _change_the_settings(_: Workspace, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sklearn, "model_dump_json", lambda _: "other settings")


def _lose_the_record(workspace: Workspace, _: pytest.MonkeyPatch) -> None:
    workspace.fetched("iris").unlink()


CHANGES = (_edit_by_hand, _upgrade, _change_the_settings, _lose_the_record)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_data_of_another_version_are_fetched(
    workspace: Workspace,
    iris: Task,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Workspace, pytest.MonkeyPatch], None],
) -> None:
    """They are after each change, and always with `force`."""
    monkeypatch.setattr(Sklearn, "fetch", _refuse)
    with pytest.raises(SourceError, match="it is fetched"):
        get(workspace, iris, force=True)
    change(workspace, monkeypatch)
    with pytest.raises(SourceError, match="it is fetched"):
        get(workspace, iris)
