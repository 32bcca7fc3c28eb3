"""Fork server: commands run in forks as in processes of their own, and end with whom they work for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from workspaces import ROOT

from tiltyard.pipelines import fork_client, fork_server
from tiltyard.pipelines.fork_server import ForkServers

pytestmark = pytest.mark.skipif(not fork_server.is_supported(), reason="forks are used on Linux only")
CLIENT = "import sys; from tiltyard.pipelines import fork_client; sys.exit(fork_client.run_in_fork(sys.argv))"
COMMAND = """
import json, os, random, sys, threading, time
import numpy
def main():
    way = sys.argv[2]
    if way == "sleep":
        print(os.getpid(), flush=True)
        time.sleep(300)
    elif way == "state":
        found = {"folder": os.getcwd(), "home": os.environ.get("HOME"), "read": sys.stdin.read(), "arguments": sys.argv}
        print(json.dumps({**found, "numbers": [random.random(), numpy.random.random()]}))
        print("to stderr", file=sys.stderr)
    elif way == "fail":
        raise ValueError("an error of the command")
    elif way == "killed":
        os.kill(os.getpid(), 9)
    else:
        sys.exit(int(way))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `tiltyard` whose command line does as the tests say, with the real fork server in it."""
    package = tmp_path / "source" / "tiltyard"
    (package / "cli").mkdir(parents=True)
    (package / "runtime").mkdir()
    for name in ("__init__.py", "cli/__init__.py", "runtime/__init__.py"):
        (package / name).touch()
    for name in ("files.py", "runtime/library_imports.py"):
        (package / name).write_text((ROOT / "src" / "tiltyard" / name).read_text())
    (pipelines := package / "pipelines").mkdir()
    for name in ("__init__.py", "fork_client.py", "fork_server.py"):
        (pipelines / name).write_text((ROOT / "pipelines" / name).read_text())
    (package / "cli" / "main.py").write_text(COMMAND)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(fork_server, "LIBRARIES", {"data": ("numpy",), "models": ()})
    return package


@pytest.fixture
def servers(project: Path) -> Iterator[ForkServers]:  # noqa: ARG001 - what the servers run
    """Servers that start when the first client connects."""
    with ForkServers() as started:
        yield started


def client(way: str, **options: Any) -> subprocess.Popen[str]:
    """Start a client that runs `tiltyard validate WAY`."""
    command = [sys.executable, "-c", CLIENT, "validate", way]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(command, text=True, **pipes, **options)


def outcome(way: str, given: str = "", **options: Any) -> tuple[int, str, str]:
    """Run a client; return its exit status and what it wrote."""
    with client(way, **options) as process:
        written, errors = process.communicate(given, timeout=60)
    return process.returncode, written, errors


@pytest.mark.usefixtures("servers")
def test_a_command_runs_as_in_its_own_process(tmp_path: Path) -> None:
    """It has the arguments, folder, environment and streams of its client, and random numbers of its own."""
    found = []
    for name in ("one", "two"):
        (folder := tmp_path / name).mkdir()
        environment = {**os.environ, "HOME": name}
        status, written, errors = outcome("state", "from stdin", cwd=folder, env=environment)
        assert (status, errors) == (0, "to stderr\n")
        found.append(json.loads(written))
        known = {"folder": str(folder), "home": name, "read": "from stdin", "arguments": ["-c", "validate", "state"]}
        assert found[-1] == {**known, "numbers": found[-1]["numbers"]}
    first, second = (one["numbers"] for one in found)
    assert not set(first) & set(second)


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(("way", "status"), [("0", 0), ("3", 3), ("killed", 128 + signal.SIGKILL)])
def test_a_client_exits_with_the_status_of_its_command(way: str, status: int) -> None:
    """A command that is killed by a signal has the status that a shell reports."""
    assert outcome(way) == (status, "", "")


@pytest.mark.usefixtures("servers")
def test_an_exception_is_printed() -> None:
    """A bug in a command ends with its traceback and the status 1."""
    status, _, errors = outcome("fail")
    assert (status, errors.splitlines()[-1]) == (1, "ValueError: an error of the command")


@pytest.mark.usefixtures("servers")
def test_a_fork_runs_the_code_that_is_on_disk(project: Path) -> None:
    """Code that changes while a run is under way is used by the next stage, as DVC records it."""
    assert outcome("0")[0] == 0
    (project / "cli" / "main.py").write_text("import sys\ndef main(): sys.exit(7)\n")
    assert outcome("0")[0] == 7


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("ending", ["client", "server", "run"])
def test_nothing_is_left_if_one_of_them_is_killed(ending: str, servers: ForkServers) -> None:
    """A fork ends with its client and with its server; the server ends with the run that started it."""
    with client("sleep") as process:
        assert process.stdout
        fork = psutil.Process(int(process.stdout.readline()))
        server = fork.parent()
        assert server
        if ending == "run":
            servers.__exit__()
        else:
            (psutil.Process(process.pid) if ending == "client" else server).kill()
        _until(lambda: not _is_running(fork))
        _until(lambda: ending == "client" or not _is_running(server))
        if ending != "client":
            assert process.wait(60) == 1
    assert ending != "client" or outcome("3")[0] == 3


@pytest.mark.usefixtures("project")
def test_the_server_of_a_killed_run_ends() -> None:
    """After kill -9 of a run, the server and its fork end by themselves; the next run removes the sockets."""
    program = (
        "import os, time; from tiltyard.pipelines import fork_client, fork_server\n"
        "fork_server.LIBRARIES = {'data': (), 'models': ()}\n"
        "fork_server.ForkServers().__enter__(); print(os.environ[fork_client.VARIABLE], flush=True)\n"
        "time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        environment = {**os.environ, fork_client.VARIABLE: run.stdout.readline().strip()}
        with client("sleep", env=environment) as process:
            assert process.stdout
            fork = psutil.Process(int(process.stdout.readline()))
            run.kill()
            _until(lambda: not _is_running(fork))
            assert process.wait(60) == 1
    with ForkServers():
        assert not Path(environment[fork_client.VARIABLE]).exists()


@pytest.mark.usefixtures("project")
def test_without_a_server_a_command_runs_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it does if the server has ended, or if the command is no stage."""
    assert fork_client.run_in_fork(["tiltyard", "validate"]) is None
    monkeypatch.setenv(fork_client.VARIABLE, str(tmp_path))
    assert fork_client.run_in_fork(["tiltyard", "validate"]) is None
    assert fork_client.VARIABLE not in os.environ
    with ForkServers():
        assert fork_client.run_in_fork(["tiltyard", "status"]) is None
        assert fork_client.run_in_fork(["tiltyard"]) is None


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize(("name", "value"), [("KERAS_BACKEND", "jax"), ("OMP_NUM_THREADS", "1"), ("OTHER", "1")])
def test_other_settings_of_libraries_need_their_own_process(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The libraries of the server were loaded with the settings of the run; other variables do not matter."""
    monkeypatch.setenv(name, value)
    assert fork_client.run_in_fork(["tiltyard", "validate", "3"]) == (3 if name == "OTHER" else None)


def test_the_backend_is_that_of_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras is loaded with TensorFlow, not with the backend of the user's own settings."""
    (project.parent / "keras_reader.py").write_text(
        "import os\nfrom pathlib import Path\n"
        "Path(__file__).with_name('backend').write_text(os.environ['KERAS_BACKEND'])\n"
    )
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(fork_server, "LIBRARIES", {"data": ("keras_reader",), "models": ()})
    with ForkServers():
        assert outcome("3")[0] == 3
    assert (project.parent / "backend").read_text() == "tensorflow"


def test_servers_load_libraries_at_once_if_a_stage_is_sure_to_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They load before the first stage asks for one, while Prefect starts."""
    (project.parent / "marker.py").write_text("import pathlib; pathlib.Path(__file__).with_name('loaded').touch()\n")
    monkeypatch.setattr(fork_server, "LIBRARIES", {"data": ("marker",), "models": ()})
    with ForkServers(at_once=True):
        _until((project.parent / "loaded").exists)
        assert outcome("3")[0] == 3


@pytest.mark.usefixtures("servers")
def test_servers_inside_servers_are_those_outside() -> None:
    """The flow of a run uses the servers that its command has started, and leaves them to it."""
    outside = os.environ[fork_client.VARIABLE]
    with ForkServers():
        assert os.environ[fork_client.VARIABLE] == outside
    assert os.environ[fork_client.VARIABLE] == outside
    assert outcome("3")[0] == 3


@pytest.mark.usefixtures("project")
def test_without_memory_for_a_server_a_command_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that has asked for a server does not wait for one that cannot start."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: _refuse(0))
    with ForkServers():
        assert fork_client.run_in_fork(["tiltyard", "validate", "3"]) is None


@pytest.mark.usefixtures("project")
def test_a_long_path_has_no_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a socket may have about a hundred characters; nothing is left in a longer one."""
    (long := tmp_path / ("x" * 100)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with ForkServers():
        assert fork_client.VARIABLE not in os.environ
    assert not [*long.iterdir()]


def test_an_old_kernel_has_no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without process file descriptors, stages run in their own processes."""
    monkeypatch.setattr(os, "pidfd_open", _refuse)
    with ForkServers():
        assert fork_client.VARIABLE not in os.environ


def _refuse(_: int) -> int:
    raise OSError("not implemented")


@pytest.mark.usefixtures("project")
def test_a_client_that_sends_something_else_ends_no_server() -> None:
    """A connection that is closed, or sends something else, leaves the server as it is."""
    with ForkServers():
        for content in (b"", b"x", bytes(fork_client.LENGTH_BYTES), (2).to_bytes(8, "big") + b"{}"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(Path(os.environ[fork_client.VARIABLE]) / "data"))
                connection.sendall(content)
        assert outcome("3")[0] == 3


def _is_running(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail after a minute."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
