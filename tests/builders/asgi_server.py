"""An ASGI app served by uvicorn on a local port, for clients that need a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette


@contextmanager
def serve_app(app: Starlette) -> Iterator[str]:
    """Serve the app and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # otherwise uvicorn closes the log handlers of others, and that of absl would close pytest's stderr with it
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
