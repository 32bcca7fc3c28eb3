"""Import the modules that use Prefect, with its server and the fork servers running."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiltyard.pipelines.fork_server import ForkServers
from tiltyard.pipelines.server import API_URL, running_server


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
