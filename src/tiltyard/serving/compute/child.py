"""Child processes of the service that receive their work over a socket, and end when it closes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

SOURCE_FOLDER = Path(__file__).resolve().parents[3]
ENVIRONMENT = {  # no threads, since a process may fork
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def start(module: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start `python -m MODULE SOCKET ARGUMENTS`; return the process and the connection to it."""
    parent_socket, child_socket = socket.socketpair()
    with child_socket:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(child_socket.fileno()), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE_FOLDER), *sys.path]), **ENVIRONMENT},
            stdin=subprocess.DEVNULL,
            pass_fds=[child_socket.fileno()],
        )
    return process, Connection(parent_socket.detach())
