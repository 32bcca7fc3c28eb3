"""Smoke test of a Bento: start it as in production on a free loopback port, and replay golden rows over REST."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.errors import PackageError
from tiltyard.serving.model.golden_rows import assert_close
from tiltyard.serving.packaging import bento
from tiltyard.serving.requests.golden_samples import assert_alike
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

READY = 90.0  # seconds: two processes import BentoML and open the model, on a machine that may be busy
ANSWER = 30.0
STOP = 10.0
FAILED = "Application startup failed"  # uvicorn's message; BentoML would restart the worker for ever
# Ends the server and its workers when standard input closes, which happens when this process ends or is killed.
SUPERVISOR = """\
import os, signal, subprocess, sys, threading
def end_all():
    sys.stdin.buffer.read()
    import psutil
    server.send_signal(signal.SIGSTOP)  # so that it starts no other worker
    for worker in psutil.Process(server.pid).children(recursive=True):  # each has a process group of its own
        worker.kill()
    os.killpg(0, signal.SIGKILL)
server = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.DEVNULL)
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the server handles it; this process waits for the server
threading.Thread(target=end_all, daemon=True).start()
os._exit(abs(server.wait()))
"""


@dataclass(frozen=True)
class Server:
    """A running service: its process, URL and log."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def last_log_lines(self) -> str:
        """Return the last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return "\n".join(lines[-bento.MAX_LOG_LINES :]) or "(it wrote nothing)"

    def failed(self) -> bool:
        """Return whether it cannot become ready any more."""
        return self.process.poll() is not None or FAILED in self.log.read_text(encoding="utf-8", errors="replace")

    def ask(self, path: str, body: Any = None) -> Any:
        """Send a GET request, or a POST request with a body; return the response's JSON, or raise PackageError."""
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=ANSWER) as response:  # noqa: S310 - our own URL
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise PackageError(f"the service refused {path}: {error.read().decode(errors='replace')}") from None
        except (OSError, ValueError) as error:
            raise PackageError(f"the service did not respond to {path}: {error}\n{self.last_log_lines()}") from None


def prove(workspace: Workspace, task: str, version: str, golden: dict[str, Any]) -> float:
    """Start the Bento and replay its golden rows; return the largest difference from the evaluation.

    BentoML takes seconds to start. Once it has served Bentos with the same code and requirements here, the service in
    the Bento is started by uvicorn alone: only the model in it is new.
    """
    proof = workspace.proven_service(service_digest(bento.folder(workspace, task, version)))
    with contextlib.nullcontext() if proof.is_file() else files.locked(proof.with_suffix(".lock")):
        start = started_plain if proof.is_file() else started  # another process may have written it meanwhile
        with start(workspace, task, version) as server:
            difference = replay(server, task, version, golden)
        if not proof.is_file():
            files.write_json(proof, {"bento": f"{task}:{version}"})
    return difference


def service_digest(folder: Path) -> str:
    """Hash all that serves a Bento except its packages: its other files, and the versions of Python and BentoML."""
    tools = [sys.version, *(f"{name} {metadata.version(name)}" for name in ("bentoml", "starlette", "uvicorn"))]
    paths = [folder / "src" / "service.py", *folder.glob("src/wheels/*.whl"), *folder.glob("env/python/*")]
    parts = [json.dumps(tools).encode(), *(files.file_digest(path) for path in sorted(paths))]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def replay(server: Server, task: str, version: str, golden: dict[str, Any]) -> float:
    """Predict golden rows with a running service; return the largest difference, or raise PackageError."""
    model = server.ask(f"/v1/models/{task}")
    if model["version"] != version:
        raise PackageError(f"expected {task} version {version}; the packaged service reports {model['version']}")
    answer = server.ask(f"/v1/models/{task}:predict", {"instances": golden["instances"]})
    if "samples" in golden:
        drawn = server.ask(f"/v1/models/{task}:sample", golden["samples"]["request"])["samples"]
        assert_alike(golden["samples"]["samples"], drawn)
    return assert_close(golden["predictions"], answer["predictions"])


@contextlib.contextmanager
def started(workspace: Workspace, task: str, version: str) -> Iterator[Server]:
    """Start TASK:VERSION with only the packaged code on its path; stop it at the end, and remove what it unpacked."""
    folder = bento.folder(workspace, task, version)
    arguments = ["-m", "bentoml", "serve", str(folder)]
    try:
        with running(arguments, bento.clean(), workspace.state(task, "trial")) as server:
            yield server
    finally:
        for unpacked in folder.glob("src/wheels/*/"):
            shutil.rmtree(unpacked)


@contextlib.contextmanager
def started_plain(workspace: Workspace, task: str, version: str) -> Iterator[Server]:
    """Start the packaged code of TASK:VERSION by uvicorn alone, as `tiltyard serve` does, for its packages."""
    source = bento.folder(workspace, task, version) / "src"
    with files.temporary_folder("tiltyard-trial") as code:
        for wheel in source.glob("wheels/*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(code)
        packages = os.pathsep.join(map(str, source.glob("packages/*/*/")))
        environment = {**bento.clean(), "PYTHONPATH": str(code), "TILTYARD_PACKAGES": packages}
        with running(SERVER, environment, workspace.state(task, "trial")) as server:
            yield server


@contextlib.contextmanager
def running(arguments: list[str], environment: dict[str, str], folder: Path) -> Iterator[Server]:
    """Run a service on a free port, with its log and home in a folder; stop it at the end, also after an error."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, *arguments, "--host", "127.0.0.1", "--port", str(port)],
            env={**environment, "BENTOML_HOME": str(folder)},  # a service deletes the metrics of others there
            cwd=folder,  # holds no code that could be imported instead of the packaged code
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, f"http://127.0.0.1:{port}", folder / "server.log")
    try:
        wait(server)
        yield server
    finally:
        stop(process)


def wait(server: Server) -> None:
    """Wait until the service is ready; raise PackageError if it fails or takes too long."""
    deadline = time.monotonic() + READY
    while time.monotonic() < deadline:
        if server.failed():
            raise PackageError(f"the packaged service did not start:\n{server.last_log_lines()}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/readyz", timeout=2):  # noqa: S310
            return
        time.sleep(0.03)
    raise PackageError(f"the packaged service was not ready within {READY:g} seconds:\n{server.last_log_lines()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children: by SIGTERM first, then by SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP)
    if process.stdin:
        process.stdin.close()  # the supervisor ends them
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
