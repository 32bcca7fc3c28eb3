"""The DVC project: its settings, its stages, and what happens if stages fail or are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from workspaces import ROOT, SMALL_TASKS

from tiltyard.data import dvc
from tiltyard.errors import DataError, StageError, TaskError, WorkspaceError
from tiltyard.runtime import processes
from tiltyard.workspace import Workspace


def test_committed_settings_match_a_new_project() -> None:
    """The repository and a project made by init agree."""
    assert (ROOT / ".dvc" / "config").read_text(encoding="utf-8") == dvc.CONFIG


@pytest.mark.parametrize("git", [True, False])
def test_project_works_with_and_without_git(small: Workspace, git: bool) -> None:
    """DVC's own command works in a git clone and in an unpacked archive."""
    if git:
        subprocess.run(["git", "init", "--quiet"], cwd=small.root, check=True)
    assert dvc.run_stage(small, "validate", "a") == "ran"
    status = [str(Path(sys.executable).with_name("dvc")), "status", "validate@a"]
    result = subprocess.run(status, cwd=small.root, capture_output=True, text=True, check=True)
    assert "up to date" in result.stdout


def test_stage_runs_once(small: Workspace) -> None:
    """A stage runs again only if a dependency changed."""
    assert [dvc.run_stage(small, "validate", "a") for _ in range(2)] == ["ran", "skipped"]
    (small.root / "raw.txt").write_text("other", encoding="utf-8")
    assert dvc.run_stage(small, "validate", "a") == "ran"


def test_task_file_is_resolved_before_stages(small: Workspace) -> None:
    """A changed comment runs no stage again, while a changed value does."""
    dvc.run_stage(small, "validate", "a")
    file = small.task_file("a")
    file.write_text("title: a task\n# a remark", encoding="utf-8")
    assert list(dvc.status(small, "resolve@a")) == ["resolve@a"]
    assert dvc.run_stage(small, "validate", "a") == "skipped"
    assert dvc.status(small, "resolve@a") == {}
    file.write_text("title: another\n# a remark", encoding="utf-8")
    assert dvc.run_stage(small, "validate", "a") == "ran"


def test_stages_of_many_tasks_run_concurrently(small: Workspace) -> None:
    """Threads wait for locks, and every stage is recorded in the end."""

    def travel(name: str) -> list[str]:
        return [dvc.run_stage(small, verb, name) for verb in ("validate", "train")]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(travel, SMALL_TASKS)) == [["ran", "ran"]] * 4
    assert dvc.status(small) == {}
    assert [dvc.run_stage(small, verb, name) for name in SMALL_TASKS for verb in ("validate", "train")] == [
        "skipped"
    ] * 8


def test_stage_output_goes_to_a_file(small: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is written to the terminal, and the output of the command is kept in a file."""
    dvc.run_stage(small, "validate", "a")
    assert capfd.readouterr() == ("", "")
    assert (small.root / ".tiltyard/stages/a/validate.log").read_text(encoding="utf-8") == "a word on the way\n"


def test_error_of_a_failed_stage_is_passed_on(small: Workspace) -> None:
    """Type, message and hint of the error are passed on, and the next success removes them."""
    (small.root / "fail").touch()
    with pytest.raises(DataError, match="validate of a cannot be") as caught:
        dvc.run_stage(small, "validate", "a")
    assert caught.value.hint == "do otherwise"
    (small.root / "fail").unlink()
    assert dvc.run_stage(small, "validate", "a") == "ran"


def test_last_line_of_a_crashed_stage_is_reported(small: Workspace) -> None:
    """The last line of an unexpected error is reported as well."""
    (small.root / "crash").touch()
    with pytest.raises(
        StageError, match=r"validate of a exited .*; last log line: RuntimeError: out of the blue"
    ) as caught:
        dvc.run_stage(small, "validate", "a")
    assert caught.value.hint == "to see more, run the stage alone: tiltyard validate a"
    assert caught.value.log[0] == "a word on the way"
    assert caught.value.log[-1] == "RuntimeError: out of the blue"


def test_unknown_stage_lists_the_known_tasks(small: Workspace) -> None:
    """A task that is not in dvc.yaml raises an error that lists the known tasks."""
    with pytest.raises(TaskError, match="no stage validate@e: expected one of a, b, c, d") as caught:
        dvc.run_stage(small, "validate", "e")
    assert "params.yaml" in caught.value.hint


def test_missing_dependency_is_named(small: Workspace) -> None:
    """The error names the missing file."""
    (small.root / "raw.txt").unlink()
    with pytest.raises(WorkspaceError, match=r"raw\.txt"):
        dvc.run_stage(small, "validate", "a")


def test_invalid_pipeline_file_is_an_error(small: Workspace) -> None:
    """An invalid dvc.yaml raises an error of this project."""
    (small.root / "dvc.yaml").write_text("stages: [", encoding="utf-8")
    with pytest.raises(WorkspaceError, match=r"dvc\.yaml"):
        dvc.run_stage(small, "validate", "a")


def test_unreachable_remote_is_reported(small: Workspace) -> None:
    """Reading its address and pushing both report an unreachable remote."""
    path = small.root / "raw"
    path.mkdir()
    (path / "file").write_text("x", encoding="utf-8")
    dvc.add(small, path)
    assert dvc.remote_address(small) == f"local: {small.root / '.dvcstore'}"
    config = small.root / ".dvc" / "config"
    (small.root / "taken").touch()
    config.write_text(config.read_text(encoding="utf-8").replace("../.dvcstore", "../taken/store"), encoding="utf-8")
    with pytest.raises(WorkspaceError, match="cannot reach"):
        dvc.remote_address(small)
    with pytest.raises(WorkspaceError):
        dvc.push(small, path)


@pytest.mark.parametrize("size", [0, 400])
def test_truncated_lock_file_is_moved_aside(small: Workspace, size: int) -> None:
    """A dvc.lock truncated by a kill is moved aside, and the stages are restored."""
    dvc.run_stage(small, "validate", "a")
    lock = small.root / "dvc.lock"
    lock.write_text(lock.read_text(encoding="utf-8")[:size].rpartition(":")[0], encoding="utf-8")
    if size:
        with pytest.raises(WorkspaceError, match=r"dvc\.lock") as caught:
            dvc.status(small)
        assert "tiltyard run" in caught.value.hint
    (small.root / ".dvc/tmp/rwlock").write_text('{"read": {', encoding="utf-8")
    dvc.repair_lock_file(small)
    assert dvc.run_stage(small, "validate", "a") == "ran"
    assert dvc.status(small, "validate@a") == {}


RUN = """
from pathlib import Path
from tiltyard.runtime import processes as stage; from tiltyard.data import dvc as store
from tiltyard.workspace import Workspace
store.run_stage(Workspace(Path.cwd()), "validate", "a")
"""


def test_killed_run_ends_its_stage(small: Workspace) -> None:
    """After kill -9 of the run, the stage ends, its lock is released, and the next run works."""
    (small.root / "slow").touch()
    with subprocess.Popen([sys.executable, "-c", RUN]) as run:
        _wait_for((small.root / "started").exists)
        (watched,) = (small.root / ".tiltyard/stages/a").glob("validate.*.lock")
        assert _stages(small) == 1
        os.kill(run.pid, signal.SIGKILL)
    assert watched.exists()
    _wait_for(lambda: _stages(small) == 0)
    (small.root / "slow").unlink()
    assert dvc.run_stage(small, "validate", "a") == "ran"


def test_interrupted_run_ends_its_stages(small: Workspace) -> None:
    """Stages end at once when the process that started them ends them."""
    (small.root / "slow").touch()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(dvc.run_stage, small, "validate", "a")
        _wait_for((small.root / "started").exists)
        processes.end_all()
        with pytest.raises(StageError, match="validate of a exited without an error message"):
            running.result(20)


def _stages(workspace: Workspace) -> int:
    """Count the stage processes of this project."""
    import psutil

    count = 0
    for process in psutil.process_iter(["cmdline", "cwd"]):
        info = process.info
        count += info["cwd"] == str(workspace.root) and (info["cmdline"] or [])[1:2] == ["verb.py"]
    return count


def _wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
