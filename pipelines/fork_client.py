"""Client of the fork servers: lets a server run this command in a fork.

It finds the server by an environment variable. Without a server, or for another command, the command runs in this
process. It imports as little as possible, not even pathlib, since each stage of a run starts one.
"""

from __future__ import annotations

import contextlib
import os

ENVIRONMENT = "environment.json"  # beside the sockets: the variables with which the libraries are loaded
VARIABLE = "TILTYARD_FORK_SERVER"  # environment variable: the folder of the sockets
GROUPS = {
    **dict.fromkeys(("resolve", "validate", "prepare"), "data"),
    **dict.fromkeys(("train", "evaluate"), "models"),
    "smoke-task": "all",
}
# of variables that libraries read when they are loaded; PYTHONPATH decides which code runs
PREFIXES = ("CUDA_", "GX_", "JAX_", "KERAS_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "TF_", "XLA_")
LENGTH_BYTES = 8  # the length of a request, sent before it


def run_in_fork(arguments: list[str]) -> int | None:
    """Run this command in a fork of the server and return its exit status; None if there is no server for it."""
    folder, group = os.environ.pop(VARIABLE, ""), GROUPS.get(arguments[1] if len(arguments) > 1 else "")
    if not folder or not group or not _has_same_variables(folder):
        return None
    import json
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"{folder}/{group}")
            request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109
            content = json.dumps(request).encode()
            socket.send_fds(connection, [len(content).to_bytes(LENGTH_BYTES, "big")], [0, 1, 2])
            connection.sendall(content)
            status = connection.recv(LENGTH_BYTES)
        except OSError:
            return None  # the server has ended
        return int(status) if status else 1


def library_variables() -> dict[str, str]:
    """Return the environment variables that libraries read when they are loaded."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}


def _has_same_variables(folder: str) -> bool:
    """Return whether the libraries were loaded with the variables of this process."""
    import json

    with contextlib.suppress(OSError, ValueError), open(f"{folder}/{ENVIRONMENT}", encoding="utf-8") as file:  # noqa: PTH123
        return bool(json.load(file) == library_variables())
    return False
