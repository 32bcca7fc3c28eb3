"""Locks between processes: they wait for each other, name the holder, and ignore dead holders."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from workspaces import ROOT, WITH_SIGINT, new_workspace

from tiltyard.cli.main import cli
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import WorkspaceError
from tiltyard.files import Json
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

RUN = """
from pathlib import Path
from tiltyard.data import dvc as store
from tiltyard.workspace import Workspace
print(store.run_stage(Workspace(Path.cwd()), "validate", "a"))
"""
LOCK = """
import sys, time
from pathlib import Path
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace
with task_lock(Workspace(Path.cwd()), "a", reading="reading" in sys.argv):
    Path(sys.argv[1]).touch()
    while Path("slow").exists():
        time.sleep(0.02)
"""


def start(workspace: Workspace, *command: str) -> subprocess.Popen[str]:
    """Start a command with pipes for its output."""
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT)))
    bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "PYTHONPATH": path, "PATH": bins, "DVC_NO_ANALYTICS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=workspace.root, env=own, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that a process prints to stderr."""
    assert process.stderr is not None
    return process.stderr.readline()


FIRST = {"a run": (sys.executable, "-c", RUN), "dvc": ("dvc", "repro", "--quiet", "validate@a")}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_second_process_waits_and_skips_the_stage(small: Workspace, name: str) -> None:
    """A second process names the process that it waits for, and then skips the stage."""
    dvc.init(small)
    (small.root / "slow").touch()
    with start(small, *FIRST[name]) as first:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", RUN) as two:
            message = first_line(two)
            (small.root / "slow").unlink()
            out, more = two.communicate(timeout=60)
        first.communicate(timeout=60)
    assert f"(process {first.pid})" in message
    assert message.startswith("waiting for ")
    assert (first.returncode, two.returncode, out, more) == (0, 0, "skipped\n", "")
    assert (small.root / "runs").read_text().splitlines() == ["validate a"]
    assert dvc.status(small, "validate@a") == {}


STATUS_OR_ADD = """
import sys
from pathlib import Path
from tiltyard.data import dvc as store
from tiltyard.workspace import Workspace
project = Workspace(Path.cwd())
if sys.argv[1] == "add":
    store.add(project, project.root / "raw.txt")
print(sys.argv[1], store.status(project, "validate@a"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("word", ["status", "add"])
def test_status_and_add_wait_for_a_stage_of_dvc(small: Workspace, word: str) -> None:
    """Status and add wait while `dvc repro` runs a stage."""
    dvc.init(small)
    raw = small.root / "raw.txt"  # a data version is always a folder
    raw.unlink()
    raw.mkdir()
    (raw / "file").touch()
    (small.root / "slow").touch()
    with start(small, *FIRST["dvc"]) as first:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", STATUS_OR_ADD, word) as two:
            message = first_line(two)
            (small.root / "slow").unlink()
            out, more = two.communicate(timeout=60)
        first.communicate(timeout=60)
    assert message.startswith("waiting for ")
    assert f"(process {first.pid})" in message
    assert (first.returncode, two.returncode, more) == (0, 0, "")
    assert out == f"{word} {{}}\n"


@pytest.mark.slow
def test_an_interrupted_wait_does_not_disturb_dvc(small: Workspace) -> None:
    """Ctrl-C during a wait leaves no lock behind, and the running stage completes."""
    dvc.init(small)
    (small.root / "slow").touch()
    with start(small, *FIRST["dvc"]) as first:
        wait_for((small.root / "started").exists)
        with start(small, *WITH_SIGINT, sys.executable, "-c", RUN) as two:
            first_line(two)
            two.send_signal(signal.SIGINT)
            two.communicate(timeout=60)
        lock_content = (small.root / ".dvc/tmp/rwlock").read_text()
        (small.root / "slow").unlink()
        first.communicate(timeout=60)
    assert first.returncode == 0
    assert str(two.pid) not in lock_content
    assert not list((small.root / ".tiltyard/stages/a").glob("*.lock"))


@pytest.mark.slow
def test_wait_ends_when_the_lock_holder_is_killed(small: Workspace) -> None:
    """After kill -9 of the holder, the waiting process does the work."""
    (small.root / "slow").touch()
    with start(small, sys.executable, "-c", RUN) as first:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", RUN) as two:
            first_line(two)
            (small.root / "slow").unlink()
            os.kill(first.pid, signal.SIGKILL)
            out, _ = two.communicate(timeout=60)
    assert (two.returncode, out) in ((0, "ran\n"), (0, "skipped\n"))
    assert dvc.status(small, "validate@a") == {}


@pytest.mark.slow
@pytest.mark.parametrize("newer", [True, False])
def test_a_reused_process_id_does_not_hold_a_lock(small: Workspace, newer: bool) -> None:
    """A process that began after the lock was written, or runs another command, does not hold it."""
    dvc.run_stage(small, "validate", "a")
    (small.root / "raw.txt").write_text("other", encoding="utf-8")
    command = [sys.executable, "-c", "import time; time.sleep(60)"] if newer else ["sleep", "60"]
    with subprocess.Popen(command) as other:
        path = small.root / ".dvc" / "tmp" / "rwlock"
        held = {str(small.out("a", "validate")): {"pid": other.pid, "cmd": "tiltyard run a"}}
        path.write_text(json.dumps({"write": held, "read": {}}), encoding="utf-8")
        if newer:
            os.utime(path, (1e9, 1e9))
        try:
            assert dvc.run_stage(small, "validate", "a") == "ran"
            assert other.poll() is None  # it was not waited for
        finally:
            other.kill()


@pytest.mark.slow
def test_task_lock_is_exclusive(small: Workspace) -> None:
    """A second process waits and names the holder; it goes on once the holder is killed."""
    (small.root / "slow").touch()
    with start(small, sys.executable, "-c", LOCK, "one") as first:
        wait_for((small.root / "one").exists)
        with start(small, sys.executable, "-c", LOCK, "two") as two:
            assert f"(process {first.pid})" in first_line(two)
            assert not (small.root / "two").exists()
            os.kill(first.pid, signal.SIGKILL)
            wait_for((small.root / "two").exists)
            (small.root / "slow").unlink()
            _, more = two.communicate(timeout=60)
    assert (two.returncode, more) == (0, "")


@pytest.mark.slow
def test_readers_share_the_task_lock(small: Workspace) -> None:
    """Two readers run in parallel; a writer waits for both."""
    (small.root / "slow").touch()
    reader, writer = ([sys.executable, "-c", LOCK, *words] for words in (["one", "reading"], ["two"]))
    with start(small, *reader) as first, start(small, *reader[:-2], "other", "reading") as other:
        wait_for(lambda: (small.root / "one").exists() and (small.root / "other").exists())
        with start(small, *writer) as two:
            assert first_line(two).startswith("waiting for ")
            assert not (small.root / "two").exists()
            (small.root / "slow").unlink()
            codes = [process.wait(60) for process in (first, other, two)]
    assert codes == [0, 0, 0]
    assert (small.root / "two").exists()


@pytest.mark.slow
def test_deleted_lock_file_is_locked_again(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits while the task and its lock file are removed still gets an exclusive lock."""
    (small.root / "slow").touch()
    with contextlib.ExitStack() as stack:
        stack.enter_context(task_lock(small, "a"))
        two = start(small, sys.executable, "-c", LOCK, "two")
        assert f"(process {os.getpid()})" in first_line(two)
        small.work_lock("a").unlink()
    try:
        wait_for((small.root / "two").exists)
        monkeypatch.setattr("tiltyard.runtime.task_lock.LOCK_SECONDS", 0.0)
        with pytest.raises(WorkspaceError, match=rf"a: still locked by .*process {two.pid}"):
            task_lock(small, "a").__enter__()
    finally:
        (small.root / "slow").unlink()
        two.communicate(timeout=60)
    assert two.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        "remove iris --yes",
        "search iris",
        "study iris --vary train.optimizer=sgd,adam --repeat 2",
        "data checkout iris 1",
        "promote iris",
        "fetch iris",
    ],
)
def test_commands_wait_for_the_lock_of_their_task(
    workspace: Workspace, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that write outputs wait, and long ones that read them."""
    monkeypatch.setattr("tiltyard.runtime.task_lock.LOCK_SECONDS", 0.0)
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if ".tiltyard" not in path.parts}
    with task_lock(workspace, "iris"):
        result = CliRunner().invoke(cli, words.split())
    assert isinstance(result.exception, WorkspaceError)
    assert "iris: still locked by" in result.exception.message
    after = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if ".tiltyard" not in path.parts}
    assert after == before


def test_wait_for_a_lock_times_out(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a timeout, an error names the holder and gives a hint; other tasks are not locked."""
    monkeypatch.setattr("tiltyard.runtime.task_lock.LOCK_SECONDS", 0.0)
    with task_lock(small, "a"):
        with task_lock(small, "b"):
            pass
        with pytest.raises(WorkspaceError, match=rf"a: still locked by .*process {os.getpid()}") as caught:
            task_lock(small, "a").__enter__()
    assert "tiltyard run a" in caught.value.hint
    with task_lock(small, "a"):
        pass


def test_stage_started_by_dvc_does_not_wait(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run holds the task lock while it waits for DVC: a stage that waited for the lock would cause a deadlock."""
    with task_lock(small, "a"):
        monkeypatch.setenv("DVC_STAGE", "train@a")
        monkeypatch.setattr("tiltyard.runtime.task_lock.LOCK_SECONDS", 0.0)
        with task_lock(small, "a"):
            pass


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_explain_holds_a_shared_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a model is explained, runs wait and other readers do not, since files are opened one by one."""
    workspace, explained_tasks = new_workspace(tmp_path), []

    def fake_explain(space: Workspace, task: Task, *_: object) -> Json:
        with space.work_lock(task.name).open("a+") as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        explained_tasks.append(task.name)
        return {}

    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr("tiltyard.explain.explain.explain", fake_explain)
    result = CliRunner().invoke(cli, ["explain", "iris", "--json"])
    assert (result.exception, explained_tasks) == (None, ["iris"])
