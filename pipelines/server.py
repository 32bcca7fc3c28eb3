"""A temporary Prefect server for a run, started before Prefect is imported, so that both load in parallel.

Prefect would start a server by itself only at the first flow, and that server would outlive a killed run.
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

from tiltyard.data import integrity
from tiltyard.errors import WorkspaceError
from tiltyard.pipelines import prefect_database
from tiltyard.runtime import processes

API_URL = "PREFECT_API_URL"
OWN_SERVER: list[subprocess.Popen[bytes]] = []  # the server that this process has started
START_SECONDS = 120.0  # it takes six seconds, or far longer on a busy machine
LIGHT = {
    "PREFECT__SERVER_EPHEMERAL": "1",  # without web pages and scheduler
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",  # a run uses no block types, whose registration takes a second,
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",  # and a server that needs them must not think that it is done
}
# Concurrency leases are kept on disk: in memory, a lease that was held during a power cut could never be released.
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem"}


@contextlib.contextmanager
def running_server(*, scheduling: bool = False) -> Iterator[None]:
    """Provide a server: that of PREFECT_API_URL if it is set, else one that this process starts."""
    if os.environ.get(API_URL):
        yield
        return
    _set_damaged_database_aside()
    port = _free_port()
    environment = {**LEASES, **os.environ, **({} if scheduling else LIGHT), "PREFECT__SERVER_FINAL": "1"}
    command = [sys.executable, "-m", "tiltyard.pipelines.server", str(port)]
    # in its own session, so that Ctrl-C does not end it: this process still has to report to it
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as process:
        os.environ[API_URL] = f"http://127.0.0.1:{port}/api"
        OWN_SERVER[:] = [process]
        try:
            yield
        finally:
            OWN_SERVER.clear()
            _flush_prefect()
            del os.environ[API_URL]


def wait_until_ready() -> None:
    """Wait until the server responds: that of `running_server`, else the one that Prefect is configured for."""
    from prefect.settings import PREFECT_API_URL

    url, end = f"{os.environ.get(API_URL) or PREFECT_API_URL.value()}/health", monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - the address is ours or the user's own
                return
        except (urllib.error.URLError, OSError) as error:
            if OWN_SERVER and OWN_SERVER[0].poll() is not None:
                raise _exit_error(OWN_SERVER[0].returncode) from None
            if monotonic() > end:
                hint = "try again, or run `prefect server start` and set PREFECT_API_URL to the address that it prints"
                raise WorkspaceError(f"Prefect: no server responds at {url}: {error}", hint) from None
            sleep(0.05)


def _set_damaged_database_aside() -> None:
    """Rename a damaged database: it holds only the history of runs, which no run needs."""
    if prefect_database.URL in os.environ or not (damage := integrity.damage(prefect_database.path())):
        return
    copy = integrity.set_aside(prefect_database.path())
    message = (
        f"Prefect's database was damaged ({damage}); its history of runs was moved to {copy}, and a new one begins"
    )
    print(message, file=sys.stderr)  # noqa: T201 - it is no error of a task


def _exit_error(status: int) -> WorkspaceError:
    """Return the error for a server that ended instead of starting."""
    path = prefect_database.path()
    return WorkspaceError(
        f"Prefect's server ended with {status} instead of starting",
        hint=f"start without the history of runs: mv {path} {path}.old; or find the cause: prefect server start",
    )


def _flush_prefect() -> None:
    """Send buffered logs and events now; at exit Prefect would try for minutes to reach a server that has ended."""
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


def _end_with_parent() -> None:
    """End when stdin is closed, that is when the run has ended or died; SIGTERM lets the server write its buffers."""
    processes.end_with_parent(sys.stdin.buffer.read, processes.terminate)


def _serve(port: int) -> None:
    """Run the server; a lock makes other servers of the project wait while the database is created or migrated."""
    import uvicorn

    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "starting.lock").open("w") as lock:  # the system frees it if this process dies
        fcntl.flock(lock, fcntl.LOCK_EX)
        copied = prefect_database.create() and LIGHT.items() <= os.environ.items()  # a scheduler may add rows
        app = create_app if copied else "prefect.server.api.server:create_app"
        config = uvicorn.Config(app, factory=True, host="127.0.0.1", port=port, log_level="error", lifespan="on")
        server = uvicorn.Server(config)
        threading.Thread(target=_unlock_when_started, args=(server, lock), daemon=True).start()
        server.run()


def create_app() -> Any:
    """Return Prefect's app; it copies the database that it creates."""
    from prefect.server.api.server import create_app as create

    return prefect_database.copy_when_created(create())


def _unlock_when_started(server: Any, lock: TextIO) -> None:
    while not server.started:
        sleep(0.05)
    fcntl.flock(lock, fcntl.LOCK_UN)


if __name__ == "__main__":
    _end_with_parent()
    _serve(int(sys.argv[1]))
