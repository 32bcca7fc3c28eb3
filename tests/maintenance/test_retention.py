"""Garbage collection: what is removed, what stays, and what the command says."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tiltyard import files
from tiltyard.cli import main
from tiltyard.data import dvc, versions
from tiltyard.maintenance import retention
from tiltyard.maintenance.retention import DAY, Limits
from tiltyard.registry import rollout
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.serving.packaging import bento
from tiltyard.workspace import Workspace

VERSIONS = [f"{number:012x}" for number in range(1, 6)]


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    """A project in which five versions of iris became champion, with their packages, pointers and Bentos."""
    registry = Registry(workspace)
    for version in VERSIONS:
        files.write_text(workspace.package("iris", version) / "model.onnx", version)
        dvc.add(workspace, workspace.package("iris", version))
        files.write_text(bento.folder(workspace, "iris", version) / "bento.yaml", version)
        registry.promote(_decision(version))
    return workspace


def _decision(version: str) -> Decision:
    return Decision.model_validate(
        {"task": "iris", "verdict": "PROMOTE", "version": version, "champion": None, "reasons": ["so"]}
        | {"metric": "accuracy", "metrics": {"accuracy": 0.9}, "parameters": {}}
    )


def _kept(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.package("iris", "x").parent.iterdir() if path.is_dir())


def _age(path: Path, days: float) -> None:
    when = time.time() - days * DAY
    os.utime(path, (when, when))


def test_champions_before_the_current_one_stay(project: Workspace) -> None:
    """The champion and those before it stay, as many as are asked for; of others, package, pointer and Bento go."""
    found = retention.collect(project, Limits(keep=2))
    assert _kept(project) == VERSIONS[2:]
    gone = [f"serving/packages/iris/{version}{end}" for version in VERSIONS[:2] for end in ("", ".dvc")]
    assert {*gone} <= {garbage.path for garbage in found}
    bentos = {path.name for path in bento.folder(project, "iris", "x").parent.iterdir()}
    assert bentos == {*VERSIONS[2:]}
    assert retention.find(project, Limits(keep=2)) == []


def test_versions_in_use_stay(project: Workspace) -> None:
    """A running rollout, and a challenger that was judged last, keep their packages."""
    trial = {"task": "iris", "version": VERSIONS[0], "way": "canary", "share": 0.1, "champion": VERSIONS[4]}
    rollout.write(project.traffic("iris"), rollout.Rollout.model_validate({**trial, "since": "2026-01-01"}))
    challenger = "f" * 12
    files.write_text(project.package("iris", challenger) / "model.onnx", "x")
    Registry(project).record(_decision(challenger).model_copy(update={"verdict": "HOLD"}))
    retention.collect(project, Limits(keep=1))
    assert _kept(project) == [VERSIONS[0], *VERSIONS[3:], challenger]


def test_the_last_challenger_stays(project: Workspace) -> None:
    """It may wait for an approval or for its trial, also if nothing else is kept."""
    challenger = "f" * 12
    files.write_text(project.package("iris", challenger) / "model.onnx", "x")
    Registry(project).record(_decision(challenger).model_copy(update={"verdict": "HOLD"}))
    retention.collect(project, Limits(keep=0))
    assert _kept(project) == [VERSIONS[4], challenger]


def test_nothing_but_versions_is_taken_for_a_package(project: Workspace) -> None:
    """A folder of another name, such as a person's notes, stays."""
    notes = project.package("iris", "notes") / "why.txt"
    files.write_text(notes, "x")
    retention.collect(project, Limits(keep=0))
    assert notes.is_file()


def test_old_records_go_and_new_ones_stay(project: Workspace) -> None:
    """Records that were converted go after their time; an open log stays, whatever its age."""
    folder = project.records / "iris" / "answers"
    for name, days in (("old.parquet", 400), ("new.parquet", 300), ("open.jsonl", 900)):
        files.write_text(folder / name, "x")
        _age(folder / name, days)
    retention.collect(project, Limits())
    assert sorted(path.name for path in folder.iterdir()) == ["new.parquet", "open.jsonl"]


def test_cached_files_go_if_nothing_refers_to_them(project: Workspace) -> None:
    """Content of removed packages leaves DVC's cache; that of kept ones, and of every data version, stays."""
    raw = project.raw("iris")
    for content in ("first", "second"):
        shutil.rmtree(raw, ignore_errors=True)
        files.write_text(raw / "table.csv", content)
        dvc.add(project, raw)
        versions.record(project, "iris", content * 8, dvc.pointer(raw))
    retention.collect(project, Limits(keep=0, cache_days=-1))
    cached = {path.read_text() for path in (project.root / ".dvc/cache/files/md5").rglob("*") if path.is_file()}
    assert {"first", "second", VERSIONS[4]} <= cached
    assert not {*VERSIONS[:4]} & cached
    assert versions.checkout(project, "iris", "firstfirst").data == "first" * 8
    assert (raw / "table.csv").read_text() == "first"


def test_new_files_in_the_cache_stay(project: Workspace) -> None:
    """What came into the cache lately may be about to get a pointer."""
    objects = project.root / ".dvc/cache/files/md5"
    before = sorted(objects.rglob("*"))
    retention.collect(project, Limits(keep=0))
    assert sorted(objects.rglob("*")) == before


def test_shared_cache_is_left_alone(project: Workspace) -> None:
    """A cache that DVC keeps elsewhere may hold files of other projects."""
    config = project.root / ".dvc" / "config"
    files.write_text(config, f"{config.read_text()}\n[cache]\n    dir = .dvc/cache\n")
    assert all(garbage.kind != "DVC cache" for garbage in retention.find(project, Limits(keep=0, cache_days=-1)))


def test_command_lists_asks_and_removes(project: Workspace) -> None:
    """With --dry-run nothing changes; without a terminal --yes is required; --json lists everything."""
    run = CliRunner()
    listed = run.invoke(main.cli, ["gc", "--keep", "1", "--dry-run"])
    assert listed.exit_code == 0
    assert "serving/packages/iris/000000000001" in listed.output
    assert len(_kept(project)) == 5
    assert run.invoke(main.cli, ["gc", "--keep", "1"]).exit_code == 2
    assert len(_kept(project)) == 5
    removed = json.loads(run.invoke(main.cli, ["gc", "--keep", "1", "--yes", "--json"]).stdout)
    assert {garbage["kind"] for garbage in removed} == {"package"}
    assert len(_kept(project)) == 2
    assert "nothing to remove" in run.invoke(main.cli, ["gc", "--keep", "1"]).output
