"""Prefect's own server, for as long as a run lasts; started before Prefect is imported, so that both load at once.

The one that Prefect would start by itself comes up only when the first flow asks for it, and outlives a killed run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

from tiltyard import processes
from tiltyard.data import sqlite_file
from tiltyard.errors import WorkspaceError

API = "PREFECT_API_URL"
DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"  # where a team's server keeps what it knows
OWN: list[subprocess.Popen[bytes]] = []  # the server of this process, while it runs
PATIENCE = 120.0  # seconds: it takes six, or far longer on a busy machine
# Who holds the one place of a deployment must be known after a power cut, too: in memory it would be taken for ever.
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}


@contextlib.contextmanager
def running(*, scheduling: bool = False) -> Iterator[None]:
    """Have a server: that of PREFECT_API_URL if it is set, else one of this process's own."""
    if os.environ.get(API):
        yield
        return
    _mend()
    port = _free_port()
    less = {} if scheduling else {"PREFECT__SERVER_EPHEMERAL": "1"}  # no pages, no services that look at clocks
    environment = {**LEASES, **os.environ, **less, "PREFECT__SERVER_FINAL": "1"}
    command = [sys.executable, "-m", "pipelines.server", str(port)]
    # in a session of its own, so that Ctrl-C leaves it to this process, which still has to report to it
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        os.environ[API] = f"http://127.0.0.1:{port}/api"
        OWN[:] = [process]
        try:
            yield
        finally:
            OWN.clear()
            _send_rest()
            del os.environ[API]


def wait() -> None:
    """Wait until the server answers: that of `running`, else the one that Prefect itself knows."""
    from prefect.settings import PREFECT_API_URL

    url, end = f"{os.environ.get(API) or PREFECT_API_URL.value()}/health", monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - the address is ours or the user's own
                return
        except (urllib.error.URLError, OSError) as error:
            if OWN and OWN[0].poll() is not None:
                raise _ended(OWN[0].returncode) from None
            if monotonic() > end:
                hint = "try again, or start one: prefect server start, and set PREFECT_API_URL to what it says"
                raise WorkspaceError(f"Prefect: no server answers at {url}: {error}", hint) from None
            sleep(0.05)


def _database() -> Path:
    """Return where the server of a project keeps what it knows."""
    return Path(os.environ["PREFECT_HOME"]) / "prefect.db"


def _mend() -> None:
    """Put a damaged database out of the way: it holds the history of runs, and no run needs that."""
    if DATABASE in os.environ or not (found := sqlite_file.damage(_database())):
        return
    aside = sqlite_file.set_aside(_database())
    told = f"Prefect's database was damaged ({found}); its history of runs is now in {aside}, and a new one begins"
    print(told, file=sys.stderr)  # noqa: T201 - no task of a run is at fault


def _ended(status: int) -> WorkspaceError:
    """Return the complaint about a server that does not start: to wait for it would be in vain."""
    path = _database()
    return WorkspaceError(
        f"Prefect's server ended with {status} instead of starting",
        hint=f"let it begin anew, without its history of runs: mv {path} {path}.old; or see why: prefect server start",
    )


def _send_rest() -> None:
    """Let Prefect send what it holds back; at exit it would look for a server that is gone, for minutes."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (APILogWorker, EventsWorker):
            worker.drain_all(timeout=5)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_run() -> None:
    """End when stdin does, which is when the run is done or dead; SIGTERM lets it write what is still in memory."""
    processes.end_with_parent(sys.stdin.buffer.read, processes.terminate)


def _serve(port: int) -> None:
    """Serve; while the database is made or brought up to date, other servers of this project wait."""
    import uvicorn

    app = "prefect.server.api.server:create_app"
    config = uvicorn.Config(app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "starting.lock").open("w") as lock:  # the system frees it if this process dies
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Thread(target=_release, args=(server, lock), daemon=True).start()
        server.run()


def _release(server: Any, lock: TextIO) -> None:
    while not server.started:
        sleep(0.05)
    fcntl.flock(lock, fcntl.LOCK_UN)


if __name__ == "__main__":
    _end_with_run()
    _serve(int(sys.argv[1]))
