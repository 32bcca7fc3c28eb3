"""Workspaces for tests: new projects, edited tasks, raw data, trained models, and code run in other processes."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiltyard import files
from tiltyard.cli import main as cli
from tiltyard.config import loader, task_list
from tiltyard.data import versions
from tiltyard.data.dvc import Pointer
from tiltyard.runtime import environment
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
# Prefix of a command that is sent SIGINT: processes started by a background shell would ignore it.
WITH_SIGINT = [
    *(sys.executable, "-c"),
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])",
]
PROJECT = ("tasks", "dvc.yaml", "params.yaml", ".dvcignore", "serving/service.py", "serving/requirements.lock")
SMALL_TASKS = ("a", "b", "c", "d")  # the tasks of a small project
QUICK_TRAINING = {"train.epochs": 3, "train.patience": 2, "serve.max_instances": 64}


def new_workspace(root: Path) -> Workspace:
    """Copy the files of a project without outputs."""
    for name in PROJECT:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_catalogue)
        elif source.exists():
            shutil.copy(source, target)
    return Workspace(root)


def _catalogue(_: str, names: list[str]) -> set[str]:
    """Return the tasks that are not listed: they need data from elsewhere."""
    return {name for name in names if name.endswith(".yaml")} - {f"{name}.yaml" for name in _listed()}


@functools.cache
def _listed() -> list[str]:
    """Return the listed tasks of this repository."""
    return task_list.listed(Workspace(ROOT))


def edit_task(workspace: Workspace, name: str, changes: dict[str, Any]) -> None:
    """Change keys of a task file; keys are dotted paths, None removes a key."""
    path = workspace.task_file(name)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section.setdefault(parent, {})
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def fetch_raw(workspace: Workspace, name: str) -> None:
    """Write raw data and record it as a version, without DVC."""
    with files.atomic_folder(workspace.raw(name)) as folder:
        loader.load(workspace, name).source.fetch(folder, workspace)
    pointer = Pointer(md5=f"{0:032x}.dir", size=1, nfiles=1)
    versions.record(workspace, name, files.sha256(workspace.raw(name)), pointer)


# The stages of a small project: each runs a Python file with its verb and task, as `tiltyard VERB TASK` would be.
STAGES = """
vars: [params.yaml]
stages:
  resolve:
    matrix: {task: "${tasks}"}
    cmd: python verb.py resolve ${item.task}
    deps: ["tasks/${item.task}.yaml"]
    outs: ["out/${item.task}/resolve"]
  validate:
    matrix: {task: "${tasks}"}
    cmd: python verb.py validate ${item.task}
    deps: [raw.txt, "out/${item.task}/resolve"]
    outs: ["out/${item.task}/validate"]
  train:
    matrix: {task: "${tasks}"}
    cmd: python verb.py train ${item.task}
    deps: ["out/${item.task}/validate"]
    outs: ["out/${item.task}/train"]
"""
VERB = """
import sys, time
from pathlib import Path
from tiltyard import errors
from tiltyard.runtime import processes
verb, task = sys.argv[1:]
with processes.as_stage():
    print("a word on the way")
    if verb == "resolve":
        Path("out", task).mkdir(parents=True, exist_ok=True)
        Path("out", task, verb).write_text(Path("tasks", f"{task}.yaml").read_text().partition("#")[0])
        sys.exit()
    if Path("fail").exists():
        raise errors.DataError(f"{verb} of {task} cannot be", hint="do otherwise")
    if Path("crash").exists():
        raise RuntimeError("out of the blue")
    with Path("runs").open("a") as file:
        file.write(f"{verb} {task}\\n")
    Path("started").touch()
    end = time.monotonic() + 60
    while Path("slow").exists() and time.monotonic() < end:
        time.sleep(0.02)
    folder = Path("out") / task / verb
    folder.mkdir(parents=True)
    (folder / "result").write_text(task)
"""


def small_project(root: Path) -> Workspace:
    """Create a project with three quick stages for four tasks."""
    (root / "params.yaml").write_text(f"tasks: [{', '.join(SMALL_TASKS)}]\n", encoding="utf-8")
    (root / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (root / "verb.py").write_text(VERB, encoding="utf-8")
    (root / "raw.txt").write_text("raw", encoding="utf-8")
    (root / "tasks").mkdir()
    for name in SMALL_TASKS:
        (root / "tasks" / f"{name}.yaml").write_text("title: a task\n", encoding="utf-8")
    return Workspace(root)


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line as its entry point does; return the exit status."""
    monkeypatch.setattr(sys, "argv", ["tiltyard", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


# Writes half of a file or a folder, and waits.
WRITE = """
import sys, pathlib
from tiltyard import files
with getattr(files, sys.argv[1])(pathlib.Path(sys.argv[2])) as made:
    (made / "half.txt" if made.is_dir() else made).write_text("half")
    print(made, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def half_written(way: str, target: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start a process that writes half of a target and waits; yield it and the temporary path that it writes."""
    command = [sys.executable, "-c", WRITE, way, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


# Processes for training are forked from one that has everything imported already (preloaded.py).
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["preloaded"])


def fork_server() -> Any:
    """Return the context of such processes; start their server with the path of `preloaded`, which it is not told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        forkserver.ensure_running()
    return FORKSERVER


def start_training(workspace: Workspace, *names: str) -> Any:
    """Train in another process, so that pytest's process never imports TensorFlow."""
    environment.configure_tools(workspace)
    process = fork_server().Process(target=_train, args=(str(workspace.root), names))
    process.start()
    return process


def kill_training_when(workspace: Workspace, name: str, ready: Callable[[], bool]) -> None:
    """Train, and kill the process as soon as something holds."""
    process = start_training(workspace, name)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.is_alive():
        if ready():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def train_tasks(workspace: Workspace, *names: str) -> None:
    """Train, and fail unless it succeeds."""
    process = start_training(workspace, *names)
    process.join(180)
    assert process.exitcode == 0, (workspace.root / "error.txt").read_text()


def _train(root: str, names: tuple[str, ...]) -> None:
    """Train, and write state and progress after each epoch, so that a test can kill the process after any."""
    from tiltyard.training import callbacks, checkpoint, train

    checkpoint.SHARE, callbacks.SECONDS_A_NOTE = 1e9, 0.0

    workspace = Workspace(Path(root))
    try:
        for name in names:
            train.train(workspace, loader.load(workspace, name))
    except BaseException as error:
        (workspace.root / "error.txt").write_text(f"{type(error).__name__}: {error}")
        raise


def run_in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a forked process that has TensorFlow imported already; return its result."""
    with fork_server().Pool(1) as pool:
        result = pool.apply(function, arguments)
        pool.close()  # lets it end by itself: a terminated process writes no coverage data
        pool.join()
        return result


def smoke_report(root: str, place: str, name: str) -> str:
    """Run a task in a smoke run; return its report page."""
    from tiltyard.pipelines import smoke

    smoke.run_task(Workspace(Path(root)), loader.load(Workspace(Path(root)), name), Workspace(Path(place)))
    return (Workspace(Path(place)).report / f"{name}.html").read_text(encoding="utf-8")
