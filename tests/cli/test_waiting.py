"""Processes that work on one project wait for each other, say for whom, and do not wait for the dead."""

from __future__ import annotations

import contextlib
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
from workspaces import HEARING, ROOT

from tiltyard import processes
from tiltyard.cli.main import cli
from tiltyard.data import dvc
from tiltyard.errors import WorkspaceError
from tiltyard.workspace import Workspace

RUN = """
from pathlib import Path
from tiltyard.data import dvc as store
from tiltyard.workspace import Workspace
print(store.stage(Workspace(Path.cwd()), "validate", "a"))
"""
ALONE = """
import sys, time
from pathlib import Path
from tiltyard import processes as stage
from tiltyard.workspace import Workspace
with stage.alone(Workspace(Path.cwd()), "a", reading="reading" in sys.argv):
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
    dvc.init(small)
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
    assert dvc.status(small, "validate@a") == {}


ASKED = """
import sys
from pathlib import Path
from tiltyard.data import dvc as store
from tiltyard.workspace import Workspace
place = Workspace(Path.cwd())
if sys.argv[1] == "add":
    store.add(place, place.root / "raw.txt")
print(sys.argv[1], store.status(place, "validate@a"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("word", ["status", "add"])
def test_who_asks_or_stores_waits_for_a_stage_of_dvc(small: Workspace, word: str) -> None:
    """A look at what is out of date, or a new version of what a stage reads, while `dvc repro` is at it."""
    dvc.init(small)
    raw = small.root / "raw.txt"  # a version is of a folder
    raw.unlink()
    raw.mkdir()
    (raw / "file").touch()
    (small.root / "slow").touch()
    with start(small, *FIRST["dvc"]) as one:
        wait_for((small.root / "started").exists)
        with start(small, sys.executable, "-c", ASKED, word) as two:
            said = first_word(two)
            (small.root / "slow").unlink()
            out, more = two.communicate(timeout=60)
        one.communicate(timeout=60)
    assert said.startswith("waiting for ")
    assert f"(process {one.pid})" in said
    assert (one.returncode, two.returncode, more) == (0, 0, "")
    assert out == f"{word} {{}}\n"


@pytest.mark.slow
def test_dvc_is_not_disturbed_by_who_waits(small: Workspace) -> None:
    """Ctrl-C while it waits leaves no lock behind, and whoever it waited for comes to its end."""
    dvc.init(small)
    (small.root / "slow").touch()
    with start(small, *FIRST["dvc"]) as one:
        wait_for((small.root / "started").exists)
        with start(small, *HEARING, sys.executable, "-c", RUN) as two:
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
    assert dvc.status(small, "validate@a") == {}


@pytest.mark.slow
@pytest.mark.parametrize("newer", [True, False])
def test_the_number_of_a_dead_process_may_be_anothers_by_now(small: Workspace, newer: bool) -> None:
    """One that began after the lock was written, or that runs something else, does not hold it."""
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


@pytest.mark.slow
def test_who_only_reads_does_so_beside_others_who_do(small: Workspace) -> None:
    """Two that read work at once; who writes waits for both of them."""
    (small.root / "slow").touch()
    reader, writer = ([sys.executable, "-c", ALONE, *words] for words in (["one", "reading"], ["two"]))
    with start(small, *reader) as one, start(small, *reader[:-2], "other", "reading") as other:
        wait_for(lambda: (small.root / "one").exists() and (small.root / "other").exists())
        with start(small, *writer) as two:
            assert first_word(two).startswith("waiting for ")
            assert not (small.root / "two").exists()
            (small.root / "slow").unlink()
            codes = [process.wait(60) for process in (one, other, two)]
    assert codes == [0, 0, 0]
    assert (small.root / "two").exists()


@pytest.mark.slow
def test_the_lock_of_a_removed_task_keeps_nobody_out(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits while a task is removed, with its lock, works alone all the same."""
    (small.root / "slow").touch()
    with contextlib.ExitStack() as stack:
        stack.enter_context(processes.alone(small, "a"))
        two = start(small, sys.executable, "-c", ALONE, "two")
        assert f"(process {os.getpid()})" in first_word(two)
        small.work_lock("a").unlink()
    try:
        wait_for((small.root / "two").exists)
        monkeypatch.setattr(processes, "PATIENCE", 0.0)
        with pytest.raises(WorkspaceError, match=rf"a: still worked on by .*process {two.pid}"):
            processes.alone(small, "a").__enter__()
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
def test_commands_wait_for_who_works_on_their_task(
    workspace: Workspace, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that write what a run does, and those that read it for long."""
    monkeypatch.setattr(processes, "PATIENCE", 0.0)
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if ".tiltyard" not in path.parts}
    with processes.alone(workspace, "iris"):
        done = CliRunner().invoke(cli, words.split())
    assert isinstance(done.exception, WorkspaceError)
    assert "iris: still worked on by" in done.exception.message
    after = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if ".tiltyard" not in path.parts}
    assert after == before


def test_a_wait_has_an_end(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that is allowed an error names the holder and what to type; other tasks are free meanwhile."""
    monkeypatch.setattr(processes, "PATIENCE", 0.0)
    with processes.alone(small, "a"):
        with processes.alone(small, "b"):
            pass
        with pytest.raises(WorkspaceError, match=rf"a: still worked on by .*process {os.getpid()}") as caught:
            processes.alone(small, "a").__enter__()
    assert "tiltyard run a" in caught.value.hint
    with processes.alone(small, "a"):
        pass


def test_a_stage_of_dvc_waits_for_nobody(small: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waits for DVC holds the task: a stage of DVC that waited for it would wait for ever."""
    with processes.alone(small, "a"):
        monkeypatch.setenv("DVC_STAGE", "train@a")
        monkeypatch.setattr(processes, "PATIENCE", 0.0)
        with processes.alone(small, "a"):
            pass


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
