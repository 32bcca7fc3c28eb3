"""HTTP server: start errors, graceful shutdown, and restarts of workers."""

from __future__ import annotations

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

from tiltyard import files
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.serve import ARGUMENTS

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("workers", "said"), [("1", "nothing to"), ("2", "nothing to"), ("two", "TILTYARD_WORKERS:")])
def test_what_cannot_be_served_is_told(tmp_path: Path, workers: str, said: str) -> None:
    """A failed start prints an error without traceback, and is not repeated by several workers."""
    done = subprocess.run(
        [sys.executable, *ARGUMENTS, "--port", str(smoke_test.free_port())],
        cwd=tmp_path,
        env={**bento.clean(), "TILTYARD_WORKERS": workers},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode
    assert f"error: {said}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_request_that_is_under_way_is_answered(packages: dict[str, Path], tmp_path: Path) -> None:
    """A request whose body is half received at shutdown still gets its response."""
    body = json.dumps({"instances": [IRIS]}).encode()
    head = f"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"])}
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "home") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head + body[:5])
            (running,) = psutil.Process(server.process.pid).children()
            time.sleep(0.5)  # until the head is read, which cannot be seen from outside
            running.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(body[5:])
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 200")
        running.wait(20)


@pytest.mark.parametrize("lost", ["worker", "parent"])
def test_who_is_killed_leaves_no_gap_and_nobody(packages: dict[str, Path], tmp_path: Path, lost: str) -> None:
    """A killed worker is restarted; if the parent is killed, its workers end."""
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"]), "TILTYARD_WORKERS": "2"}
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "home") as server:
        (parent,) = psutil.Process(server.process.pid).children()
        workers = _workers(parent)
        if lost == "worker":
            os.kill(workers[0].pid, signal.SIGKILL)
            deadline = time.monotonic() + 60
            while len(now := _workers(parent)) < 2 or workers[0] in now:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert httpx.get(f"{server.url}/readyz").status_code == 200
        else:
            parent.kill()
            assert not psutil.wait_procs(workers, timeout=60)[1]


def test_the_figures_of_a_killed_service_go_at_the_next_start(packages: dict[str, Path], tmp_path: Path) -> None:
    """The next start removes the metrics folder of a killed service, but not of a running one."""
    temporary, source = tmp_path / "tmp", str(Path(files.__file__).parents[1])
    (temporary / "tiltyard-metrics-of-mine").mkdir(parents=True)
    environment = {**bento.clean(), "TILTYARD_PACKAGES": str(packages["iris"]), "TILTYARD_WORKERS": "2"}
    environment |= {"TMPDIR": str(temporary), "PYTHONPATH": source}
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "first") as killed:
        (left,) = _metrics(temporary)
        (parent,) = psutil.Process(killed.process.pid).children()
        workers = _workers(parent)
        parent.kill()
        psutil.wait_procs([parent, *workers], timeout=60)
        assert _metrics(temporary) == {left}
    with smoke_test.running(ARGUMENTS, environment, tmp_path / "second"):
        (kept,) = _metrics(temporary)
        assert kept != left
        with smoke_test.running(ARGUMENTS, environment, tmp_path / "third") as other:
            assert len(_metrics(temporary) - {kept}) == 1
            assert httpx.get(f"{other.url}/metrics").status_code == 200
        assert kept in _metrics(temporary)
    assert [path.name for path in temporary.glob("tiltyard-*")] == ["tiltyard-metrics-of-mine"]


def _metrics(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("tiltyard-*")} - {"tiltyard-metrics-of-mine"}


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    """Return the worker processes, without the resource tracker of Python."""
    children = [child for child in parent.children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
