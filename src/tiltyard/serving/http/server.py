"""Listen: the service on a socket, by uvicorn alone. BentoML serves the same app, but takes seconds to start.

python -m tiltyard.serving.http.server --host 127.0.0.1 --port 3000
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from tiltyard import files, processes
from tiltyard.errors import TiltyardError
from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.http.limits import Limits, read_number
from tiltyard.serving.http.startup import end, start

if TYPE_CHECKING:
    import uvicorn

ACCEPT_SOCKETS = 16
EXIT_START_FAILED = 3  # uvicorn's word: what fails at the start would fail again, so it stops the others as well


def main() -> None:
    """Listen with as many workers as TILTYARD_WORKERS says; one needs no other process beside it."""
    import uvicorn

    asked = _parse_arguments()
    with _print_errors():
        workers, limits = int(read_number(os.environ, "TILTYARD_WORKERS", 1)), Limits.from_environment()
    config: dict[str, Any] = {
        "host": asked.host,
        "port": asked.port,
        "access_log": False,  # /metrics counts requests, and `serve --log` writes a line for each
        "log_level": "warning",
        "server_header": False,
        "timeout_graceful_shutdown": int(limits.seconds) + 1,
        "http": "tiltyard.serving.http.server:connection",
    }
    if workers > 1:
        _run_workers(uvicorn.Config("tiltyard.serving.http.server:app", factory=True, workers=workers, **config))
    else:
        alone = uvicorn.Config(app(), **config)
        uvicorn.Server(alone).run(_duplicate_sockets(alone))


def create_connection(config: uvicorn.Config, **given: Any) -> FastPathProtocol:
    """Make what looks after a connection, for uvicorn, which has put layers of its own around the app."""
    found: Any = config.loaded_app
    while not isinstance(found, Starlette):
        found = found.app
    return FastPathProtocol(found, config=config, **given)


def _duplicate_sockets(config: uvicorn.Config) -> list[socket.socket]:
    """Return the socket many times: for each, uvloop takes up one connection between answering those that it has.

    Of 256 clients that come at once half would wait for seconds while the other half is answered again and again. Not
    so with several workers, and there whoever wakes first would take up all, and leave the others without any.
    """
    first = config.bind_socket()
    return [first, *(first.dup() for _ in range(ACCEPT_SOCKETS - 1))]


def _run_workers(config: uvicorn.Config) -> None:
    """Start workers, replace those that die, and end them; they count in files, and whoever is asked adds them up."""
    from tiltyard.serving.http.supervisor import Supervisor

    with files.temporary_folder("tiltyard-metrics") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        if not LastGood.from_environment(Path()):  # at least for as long as the service runs
            os.environ["TILTYARD_STATE"] = str(folder / "state")
        together = Supervisor(config, sockets=[config.bind_socket()])
        together.run()
    if together.failed:
        sys.exit(EXIT_START_FAILED)


def app() -> Starlette:
    """Return the app with all models loaded; what cannot be loaded is told in a sentence."""
    with _print_errors():
        made = create_app(Limits.from_environment(), _lifespan)
        start(made, Path.cwd())
    if parent := multiprocessing.parent_process():
        processes.end_with_parent(parent.join, processes.terminate)  # it would hold the port for nobody
    return made


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """Leave in order: uvicorn ends the process by the signal that it was sent, so nothing runs after it."""
    yield
    end(app)


@contextlib.contextmanager
def _print_errors() -> Iterator[None]:
    try:
        yield
    except TiltyardError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - there is no logger yet
        sys.exit(EXIT_START_FAILED)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tiltyard.serving.http.server", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
