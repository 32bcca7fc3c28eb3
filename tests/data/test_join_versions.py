"""Fetching and versions of joined data: every file has a checksum, and each comparison names the files that changed."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner
from joined_tables import shops, visits, write_sources

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config.task import Task
from tiltyard.data import dvc, fetch, stand_in, versions
from tiltyard.errors import DataError, SourceError
from tiltyard.preparation.modalities.base import version_reader
from tiltyard.preparation.prepare import prepare
from tiltyard.workspace import Workspace


@pytest.fixture
def task(workspace: Workspace) -> Task:
    """The task visits with two versions: in the second, a shop has another size."""
    task = write_sources(workspace)
    fetch.get(workspace, task)
    larger = shops().assign(size=lambda frame: frame["size"].where(frame.index != 3, 999))
    larger.to_csv(workspace.root / "shops.csv", index=False)
    assert fetch.get(workspace, task).state == "new"
    return task


def test_each_file_has_a_checksum(workspace: Workspace, task: Task) -> None:
    """The list for sha256sum, the version and the facts of `prepare` name the files of all sources."""
    lines = (workspace.root / "data" / "raw" / "visits.sha256").read_text(encoding="utf-8").splitlines()
    assert [line.split("  ")[1] for line in lines] == ["visits/joins/shops/table.csv", "visits/table.csv"]
    version = versions.recorded(workspace, "visits")[-1]
    assert {f"{digest}  visits/{name}" for name, digest in version.hashes.items()} == {*lines}
    assert prepare(workspace, task)["files"] == version.hashes
    assert fetch.get(workspace, task).state == "same"


def test_versions_name_the_files_that_changed(workspace: Workspace, task: Task) -> None:
    """The first version is new as a whole; in the second, only the joined file differs."""
    first, second = versions.list_versions(workspace, "visits", version_reader(task))
    assert first["changed"] == ["joins/shops/table.csv", "table.csv"]
    assert second["changed"] == ["joins/shops/table.csv"]
    assert (first["rows"], second["rows"]) == (600, 600)


def test_diff_names_file_and_rows(workspace: Workspace, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is that of the joined rows: all visits to the shop differ."""
    compared = versions.diff(workspace, "visits", version_reader(task))
    assert compared.files == ["joins/shops/table.csv"]
    assert compared.added == compared.removed == (visits()["shop"] == 4).sum()
    monkeypatch.setenv("TILTYARD_ROOT", str(workspace.root))
    printed = CliRunner().invoke(cli, ["data", "diff", "visits"]).output
    assert "files changed: joins/shops/table.csv" in printed
    assert "changed files" in CliRunner().invoke(cli, ["data", "visits"]).output


def test_version_from_before_the_join_can_be_compared(workspace: Workspace) -> None:
    """A join that is added to a task is a new file and new columns."""
    joined = write_sources(workspace)
    fetch.get(workspace, joined.model_copy(update={"joins": {}}))
    fetch.get(workspace, joined)
    compared = versions.diff(workspace, "visits", version_reader(joined))
    assert compared.columns_added == ["size", "town"]
    assert "joins/shops/table.csv" in compared.files


@pytest.mark.usefixtures("task")
def test_an_earlier_version_is_restored_with_its_joined_files(workspace: Workspace) -> None:
    """`data checkout` restores both files."""
    first = versions.recorded(workspace, "visits")[0]
    versions.checkout(workspace, "visits", first.data)
    assert files.sha256(workspace.raw("visits")) == first.data
    restored = pd.read_csv(workspace.raw("visits") / "joins" / "shops" / "table.csv")
    assert restored["size"].max() < 500
    assert not dvc.changed(workspace, workspace.raw("visits"))


def test_errors_of_a_joined_source_name_the_join(workspace: Workspace) -> None:
    """A file that is missing, and a source that yields no table, are told with the name of the join."""
    task = write_sources(workspace)
    (workspace.root / "shops.csv").unlink()
    with pytest.raises(SourceError, match=r"joins\.shops: no file shops\.csv: looked in"):
        fetch.get(workspace, task)
    pictures = {"kind": "sklearn", "dataset": "digits"}
    with pytest.raises(DataError, match=r"joins\.shops\.source: expected one table; received images") as caught:
        fetch.get(workspace, write_sources(workspace, source=pictures))
    assert caught.value.hint == "join a source that yields one table"


def test_a_stand_in_that_is_joined_is_told(workspace: Workspace) -> None:
    """Rows with generated columns are no real rows, whichever source generated them."""
    generated = {"kind": "coins", "stand_in": True, "rows": 100}
    task = write_sources(workspace, source=generated, key=None, time={"shop": "unix"}, columns=["btc_close"])
    with files.atomic_folder(workspace.raw("visits")) as folder:
        fetch.write_raw(task, folder, workspace)
    assert stand_in.reason(workspace.raw("visits")).startswith("generated bars stand in")
