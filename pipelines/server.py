"""Prefect's embedded server: a run that is killed cannot stop the one it started, so the next run does."""

from __future__ import annotations

import contextlib
import os

import psutil

from tiltyard.workspace import Workspace

RUN = "TILTYARD_RUN_PID"  # in the environment of a server: the run that started it
SERVER = "prefect.server.api.server:create_app"


def claim(workspace: Workspace) -> None:
    """Mark the server that this process is about to start as its own, and end those of dead runs."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, KeyError):
            if SERVER not in process.cmdline() or process.environ()["PREFECT_HOME"] != str(workspace.prefect):
                continue
            if not _alive(int(process.environ()[RUN])):
                process.terminate()
    os.environ[RUN] = str(os.getpid())


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
