"""HTTP server: start errors, graceful shutdown, and restarts of workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from workspaces import ROOT

from tiltyard import files
from tiltyard.serving.http import listening
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.variables import SERVER

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
BENTO = ["-m", "bentoml", "serve", "service:Tiltyard", "--working-dir", str(ROOT / "serving")]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("workers", "message"), [("1", "nothing to"), ("2", "nothing to"), ("two", "TILTYARD_WORKERS:")]
)
def test_failed_start_is_reported_without_traceback(tmp_path: Path, workers: str, message: str) -> None:
    """A failed start prints an error without traceback, and is not repeated by several workers."""
    done = subprocess.run(
        [sys.executable, *SERVER, "--port", str(smoke_test.free_port())],
        cwd=tmp_path,
        env={**bento.clean(), "TILTYARD_WORKERS": workers},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode
    assert f"error: {message}" in done.stderr
    assert "Traceback" not in done.stderr


def test_running_request_is_answered_at_shutdown(packages: dict[str, Path], tmp_path: Path) -> None:
    """A request whose body is half received at shutdown still gets its response."""
    body = json.dumps({"instances": [IRIS]}).encode()
    head = f"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"])}
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head + body[:5])
            (worker,) = psutil.Process(server.process.pid).children()
            time.sleep(0.5)  # until the head is read, which cannot be observed from outside
            worker.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(body[5:])
            response = connection.recv(65_536)
        assert response.startswith(b"HTTP/1.1 200")
        worker.wait(20)


@pytest.mark.parametrize("killed", ["worker", "parent"])
def test_killed_worker_is_restarted_and_workers_end_with_their_parent(
    packages: dict[str, Path], tmp_path: Path, killed: str
) -> None:
    """A killed worker is restarted; if the parent is killed, its workers end."""
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"]), "TILTYARD_WORKERS": "2"}
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        (parent,) = psutil.Process(server.process.pid).children()
        workers = _workers(parent)
        if killed == "worker":
            os.kill(workers[0].pid, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while len(current := _workers(parent)) < 2 or workers[0] in current:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert httpx.get(f"{server.url}/readyz").status_code == 200
        else:
            parent.kill()
            assert not psutil.wait_procs(workers, timeout=60)[1]


def test_metrics_of_a_killed_service_are_removed_at_the_next_start(packages: dict[str, Path], tmp_path: Path) -> None:
    """The next start removes the metrics folder of a killed service, but not of a running one."""
    temporary, source = tmp_path / "tmp", str(Path(files.__file__).parents[1])
    (temporary / "tiltyard-metrics-of-mine").mkdir(parents=True)
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"]), "TILTYARD_WORKERS": "2"}
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": source}
    with smoke_test.running(SERVER, environment, tmp_path / "first") as killed:
        (metrics_folder,) = _metrics(temporary)
        (parent,) = psutil.Process(killed.process.pid).children()
        workers = _workers(parent)
        parent.kill()
        psutil.wait_procs([parent, *workers], timeout=60)
        assert _metrics(temporary) == {metrics_folder}
    with smoke_test.running(SERVER, environment, tmp_path / "second"):
        (second_folder,) = _metrics(temporary)
        assert second_folder != metrics_folder
        with smoke_test.running(SERVER, environment, tmp_path / "third") as other:
            assert len(_metrics(temporary) - {second_folder}) == 1
            assert httpx.get(f"{other.url}/metrics").status_code == 200
        assert second_folder in _metrics(temporary)
    assert [path.name for path in temporary.glob("tiltyard-*")] == ["tiltyard-metrics-of-mine"]


def _metrics(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("tiltyard-*")} - {"tiltyard-metrics-of-mine"}


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    """Return the worker processes, without the resource tracker of Python."""
    children = [child for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("arguments", "workers"), [(SERVER, 1), (BENTO, 1), (BENTO, 2)])
def test_one_worker_listens_on_duplicates_of_its_socket(
    packages: dict[str, Path], tmp_path: Path, arguments: list[str], workers: int
) -> None:
    """A single worker accepts many connections at a time, also under BentoML, which creates the server itself."""
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"]), "TILTYARD_WORKERS": str(workers)}
    with smoke_test.running(arguments, environment, tmp_path / "home") as server:
        port = int(server.url.rpartition(":")[2])
        found = [_listening(process, port) for process in psutil.Process(server.process.pid).children(recursive=True)]
    assert max(found) == (listening.ACCEPT_SOCKETS if workers == 1 else 1)


def _listening(process: psutil.Process, port: int) -> int:
    """Return how many descriptors of a process refer to the socket that listens on a port."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    inodes = {line[9] for line in table if line[1].endswith(f":{port:04X}") and line[3] == "0A"}
    found = 0
    for path in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found += str(path.readlink()) in {f"socket:[{inode}]" for inode in inodes}
    return found
