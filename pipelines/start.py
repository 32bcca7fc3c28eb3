"""Start a run in this process: at once if nothing has to be done, else with Prefect's server and the fork servers."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiltyard.pipelines.fork_server import ForkServers
from tiltyard.pipelines.server import API_URL, running_server
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.pipelines.unchanged import unchanged
from tiltyard.workspace import Workspace


def run(workspace: Workspace, names: list[str], *, allow_stand_in: bool = False) -> list[TaskOutcome]:
    """Return a row for each task."""
    if (rows := unchanged(workspace, names, allow_stand_in=allow_stand_in)) is not None:
        return rows
    with flow_module() as flow:
        done: list[TaskOutcome] = flow.run(workspace, names, allow_stand_in=allow_stand_in)
    return done


@contextlib.contextmanager
def flow_module() -> Iterator[Any]:
    """Import the module of the flow; libraries of stages are loaded meanwhile, unless there may be nothing to do."""
    with ForkServers(at_once=not os.environ.get(API_URL)), prefect_module("flow") as flow:
        yield flow


@contextlib.contextmanager
def prefect_module(name: str, *, scheduling: bool = False) -> Iterator[Any]:
    """Start Prefect's server and import a module that uses Prefect.

    Prefect creates its home folder when it is imported, but not the parent folder.
    """
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    with running_server(scheduling=scheduling):
        yield importlib.import_module(f"tiltyard.pipelines.{name}")
