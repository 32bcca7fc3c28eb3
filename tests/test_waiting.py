"""Processes that work on one project wait for each other, say for whom, and do not wait for the dead."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from making import ROOT

from tiltyard import stage, store
from tiltyard.errors import WorkspaceError
from tiltyard.workspace import Workspace

RUN = """
from pathlib import Path
from tiltyard import store
from tiltyard.workspace import Workspace
print(store.stage(Workspace(Path.cwd()), "validate", "a"))
"""
ALONE = """
import sys, time
from pathlib import Path
from tiltyard import stage
from tiltyard.workspace import Workspace
with stage.alone(Workspace(Path.cwd()), "a"):
    Path(sys.argv[1]).touch()
    while Path("slow").exists():
        time.sleep(0.02)
"""


def start(workspace: Workspace, *command: str) -> subprocess.Popen[str]:
    """Start a command whose words can be read."""
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT)))
    bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "PYTHONPATH": path, "PATH": bins, "DVC_NO_ANALYTICS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=workspace.root, env=own, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def first_word(process: subprocess.Popen[str]) -> str:
    """Return the first line that a process says."""
    assert process.stderr is not None
    return process.stderr.readline()


FIRST = {"a run": (sys.executable, "-c", RUN), "dvc": ("dvc", "repro", "--quiet", "validate@a")}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_a_stage_is_waited_for_and_runs_once(small: Workspace, name: str) -> None:
    """A second process says whom it waits for, and then finds that there is nothing left to do."""
    store.init(small)
    (small.root / "slow").touch()
    with start(small, *FIRST[name]) as one:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", RUN) as two:
            said = first_word(two)
            (small.root / "slow").unlink()
            out, more = two.communicate(timeout=60)
        one.communicate(timeout=60)
    assert f"(process {one.pid})" in said
    assert said.startswith("waiting for ")
    assert (one.returncode, two.returncode, out, more) == (0, 0, "skipped\n", "")
    assert (small.root / "runs").read_text().splitlines() == ["validate a"]
    assert store.status(small, "validate@a") == {}


@pytest.mark.slow
def test_dvc_is_not_disturbed_by_who_waits(small: Workspace) -> None:
    """Ctrl-C while it waits leaves no lock behind, and whoever it waited for comes to its end."""
    store.init(small)
    (small.root / "slow").touch()
    with start(small, *FIRST["dvc"]) as one:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", RUN) as two:
            first_word(two)
            two.send_signal(signal.SIGINT)
            two.communicate(timeout=60)
        held = (small.root / ".dvc/tmp/rwlock").read_text()
        (small.root / "slow").unlink()
        one.communicate(timeout=60)
    assert one.returncode == 0
    assert str(two.pid) not in held
    assert not list((small.root / ".tiltyard/stages/a").glob("*.lock"))


@pytest.mark.slow
def test_nobody_waits_for_the_dead(small: Workspace) -> None:
    """After kill -9 of the process that is waited for, the other one goes on and does the work."""
    (small.root / "slow").touch()
    with start(small, sys.executable, "-c", RUN) as one:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", RUN) as two:
            first_word(two)
            (small.root / "slow").unlink()
            os.kill(one.pid, signal.SIGKILL)
            out, _ = two.communicate(timeout=60)
    assert (two.returncode, out) in ((0, "ran\n"), (0, "skipped\n"))
    assert store.status(small, "validate@a") == {}


@pytest.mark.slow
@pytest.mark.parametrize("newer", [True, False])
def test_the_number_of_a_dead_process_may_be_anothers_by_now(small: Workspace, newer: bool) -> None:
    """One that began after the lock was written, or that runs something else, does not hold it."""
    store.stage(small, "validate", "a")
    (small.root / "raw.txt").write_text("other", encoding="utf-8")
    command = [sys.executable, "-c", "import time; time.sleep(60)"] if newer else ["sleep", "60"]
    with subprocess.Popen(command) as other:
        path = small.root / ".dvc" / "tmp" / "rwlock"
        held = {str(small.out("a", "validate")): {"pid": other.pid, "cmd": "tiltyard run a"}}
        path.write_text(json.dumps({"write": held, "read": {}}), encoding="utf-8")
        if newer:
            os.utime(path, (1e9, 1e9))
        try:
            assert store.stage(small, "validate", "a") == "ran"
        finally:
            other.kill()


@pytest.mark.slow
def test_a_task_is_worked_on_by_one(small: Workspace) -> None:
    """A second one waits and says for whom; if the first one is killed, it goes on."""
    (small.root / "slow").touch()
    with start(small, sys.executable, "-c", ALONE, "one") as one:
        wait_for((small.root / "one").exists)
        with start(small, sys.executable, "-c", ALONE, "two") as two:
            assert f"(process {one.pid})" in first_word(two)
            assert not (small.root / "two").exists()
            os.kill(one.pid, signal.SIGKILL)
            wait_for((small.root / "two").exists)
            (small.root / "slow").unlink()
            _, more = two.communicate(timeout=60)
    assert (two.returncode, more) == (0, "")


def test_a_wait_has_an_end(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that is allowed an error names the holder and what to type; other tasks are free meanwhile."""
    monkeypatch.setattr(stage, "PATIENCE", 0.0)
    with stage.alone(small, "a"):
        with stage.alone(small, "b"):
            pass
        with pytest.raises(WorkspaceError, match=rf"a: still worked on by .*process {os.getpid()}") as caught:
            stage.alone(small, "a").__enter__()
    assert "tiltyard run a" in caught.value.hint
    with stage.alone(small, "a"):
        pass


def test_a_stage_of_dvc_waits_for_nobody(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits for DVC holds the task: a stage of DVC that waited for it would wait for ever."""
    with stage.alone(small, "a"):
        monkeypatch.setenv("DVC_STAGE", "train@a")
        monkeypatch.setattr(stage, "PATIENCE", 0.0)
        with stage.alone(small, "a"):
            pass


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
