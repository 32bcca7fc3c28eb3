"""HTTP server: the service under uvicorn alone. BentoML can serve the same app, but takes seconds to start.

python -m tiltyard.serving.http.server --host 127.0.0.1 --port 3000
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from tiltyard import files
from tiltyard.errors import TiltyardError
from tiltyard.runtime import processes
from tiltyard.serving.http.app import create_app
from tiltyard.serving.http.fast_protocol import FastPathProtocol
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.http.limits import Limits, read_number
from tiltyard.serving.http.listening import DuplicatingServer
from tiltyard.serving.http.startup import end, start

if TYPE_CHECKING:
    import uvicorn

EXIT_START_FAILED = 3  # uvicorn's exit code for a failed start, after which it stops all workers


def main() -> None:
    """Serve with TILTYARD_WORKERS workers; a single one runs in this process."""
    import uvicorn

    arguments = _parse_arguments()
    with _print_errors():
        workers, limits = int(read_number(os.environ, "TILTYARD_WORKERS", 1)), Limits.from_environment()
    config: dict[str, Any] = {
        "host": arguments.host,
        "port": arguments.port,
        "access_log": False,  # /metrics counts requests, and `serve --log` writes a line for each
        "log_level": "warning",
        "server_header": False,
        "timeout_graceful_shutdown": int(limits.seconds) + 1,
        "http": "tiltyard.serving.http.server:create_connection",
    }
    if workers > 1:
        _run_workers(uvicorn.Config("tiltyard.serving.http.server:app", factory=True, workers=workers, **config))
    else:
        DuplicatingServer(uvicorn.Config(app(), **config)).run()


def create_connection(config: uvicorn.Config, **options: Any) -> FastPathProtocol:
    """Return the protocol of a connection for uvicorn, which has wrapped the app in its own middleware."""
    unwrapped: Any = config.loaded_app
    while not isinstance(unwrapped, Starlette):
        unwrapped = unwrapped.app
    return FastPathProtocol(unwrapped, config=config, **options)


def _run_workers(config: uvicorn.Config) -> None:
    """Run workers under a supervisor; they write metrics to files, which each of them can sum up."""
    from tiltyard.serving.http.supervisor import Supervisor

    with files.temporary_folder("tiltyard-metrics") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        if not LastGood.from_environment(Path()):  # kept while the service runs
            os.environ["TILTYARD_STATE"] = str(folder / "state")
        supervisor = Supervisor(config, sockets=[config.bind_socket()])
        supervisor.run()
    if supervisor.failed:
        sys.exit(EXIT_START_FAILED)


def app() -> Starlette:
    """Return the app with all models loaded; print an error and exit if none can be loaded."""
    with _print_errors():
        if address := os.environ.get("TILTYARD_GRPC"):
            from tiltyard.serving.grpc import server

            server.check(address, shared=_is_worker())
        application = create_app(Limits.from_environment(), _lifespan)
        start(application, Path.cwd())
    if parent := multiprocessing.parent_process():
        processes.end_with_parent(parent.join, processes.terminate)  # an orphan would keep the port
    return application


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    """Serve gRPC, if it is enabled, as long as HTTP.

    Shut down within the lifespan: uvicorn then ends the process by a signal, and no code runs after it.
    """
    async with _grpc(app):
        yield
    end(app)


@contextlib.asynccontextmanager
async def _grpc(app: Starlette) -> AsyncIterator[None]:
    """Serve the app over gRPC at the address of TILTYARD_GRPC; without it, do nothing."""
    if not (address := os.environ.get("TILTYARD_GRPC")):
        yield
        return
    from tiltyard.serving.grpc import server

    limits = app.state.admission.limits
    max_body_bytes = max(model.max_body_bytes for model in app.state.models.values())
    async with server.serving(
        app, address, server.Bounds(max_body_bytes, limits.concurrency, limits.seconds), shared=_is_worker()
    ):
        yield


def _is_worker() -> bool:
    """Return whether this process is one of several workers."""
    return multiprocessing.parent_process() is not None


@contextlib.contextmanager
def _print_errors() -> Iterator[None]:
    try:
        yield
    except TiltyardError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        sys.exit(EXIT_START_FAILED)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tiltyard.serving.http.server", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=3000, help="port to listen on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
