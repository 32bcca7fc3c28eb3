"""Smoke runs: all tasks on few rows and one epoch, with requests to the service."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from workspaces import ROOT, edit_task, run_in_process, smoke_report

from tiltyard.config import loader
from tiltyard.pipelines import fork_server
from tiltyard.pipelines.smoke import SMOKE_ROWS, shrink_task
from tiltyard.workspace import Workspace


def smoke_run(root: Path, *names: str) -> tuple[int, list[dict[str, object]]]:
    """Run the command; return its exit status and rows."""
    environment = {**os.environ, "TILTYARD_ROOT": str(root)}
    command = ["tiltyard", "run", "--smoke", "--json", *names]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=2_000)
    return result.returncode, json.loads(result.stdout)


@pytest.mark.catalogue
@pytest.mark.timeout(7200)  # half an hour on two cores
@pytest.mark.usefixtures("mirror")
def test_every_task_passes_a_smoke_run() -> None:
    """All task files pass in one command."""
    names = Workspace(ROOT).tasks()
    status, rows = smoke_run(ROOT, *names)
    assert [row["task"] for row in rows] == names
    assert {str(row["task"]): row["error"] for row in rows if row["verdict"] != "ok"} == {}
    assert status == 0


@pytest.mark.slow
@pytest.mark.smoke
def test_failing_task_affects_neither_other_tasks_nor_the_project(workspace: Workspace) -> None:
    """The row of the failing task has the error, the exit status is 1, and no file of the project is added."""
    edit_task(workspace, "diabetes", {"source": {"kind": "file", "path": "nowhere.csv"}})
    before = sorted(workspace.root.rglob("*"))
    status, rows = smoke_run(workspace.root, "diabetes", "iris")
    assert status == 1
    assert [row["verdict"] for row in rows] == ["stopped at pipeline", "ok"]
    assert "no file nowhere.csv" in str(rows[0]["error"])
    assert [path for path in sorted(workspace.root.rglob("*")) if path not in before] == []


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.skipif(not fork_server.is_supported(), reason="forks are used on Linux only")
def test_tasks_of_a_smoke_run_are_forks(workspace: Workspace) -> None:
    """Each task is a fork of the one process that has loaded the libraries."""
    environment = {**os.environ, "TILTYARD_ROOT": str(workspace.root)}
    command = ["tiltyard", "run", "--smoke", "iris"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        forks = set()
        while process.poll() is None:
            forks |= {fork.pid for fork in _forks(psutil.Process(process.pid))}
            time.sleep(0.05)
    assert process.returncode == 0
    assert len(forks) == 1


def _forks(run: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        servers = [child for child in run.children() if "tiltyard.pipelines.fork_server" in child.cmdline()]
        return [fork for server in servers for fork in server.children() if fork.cmdline() == server.cmdline()]
    return []


def test_smoke_run_uses_few_rows_and_one_epoch(workspace: Workspace) -> None:
    """Rows and epochs are reduced; model and augmentation stay."""
    edit_task(workspace, "digits", {"source": {"kind": "keras", "dataset": "mnist"}})
    task = loader.load(workspace, "digits")
    small = shrink_task(task)
    assert (small.train.epochs, small.split.rows, small.source.model_dump()["rows"]) == (1, SMOKE_ROWS, SMOKE_ROWS)
    assert small.model == task.model
    assert small.train.augment == task.train.augment


def test_smoke_run_walks_forward_once(workspace: Workspace) -> None:
    """Further evaluations are made, but with one training and two steps."""
    edit_task(workspace, "sine", {"evaluate": {"walk_forward": {"every": 1}, "rollout": 50}})
    evaluate = shrink_task(loader.load(workspace, "sine")).evaluate
    assert (evaluate.walk_forward and evaluate.walk_forward.every, evaluate.rollout) == (1_000_000, 2)
    assert shrink_task(loader.load(Workspace(ROOT), "iris")).evaluate.requested == []


@pytest.mark.slow
@pytest.mark.smoke
def test_smoke_report_shows_plots_and_validation(workspace: Workspace, tmp_path: Path) -> None:
    """The page of a smoke run shows plots and validation."""
    page = run_in_process(smoke_report, str(workspace.root), str(tmp_path / "place"), "iris")
    assert "<h3>Confusion matrix</h3>" in page
    assert "expectations are met by 150 rows" in page
