"""Packages of small random models for all four tasks, and the app that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from client import TestClient
from making import new_workspace
from starlette.applications import Starlette

from tiltyard.api import application, install
from tiltyard.served import Served
from tiltyard.workspace import Workspace


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all four tasks are evaluated."""
    space = new_workspace(tmp_path_factory.mktemp("tiny"))
    for name in tiny.TASKS:
        tiny.evaluated(space, name)
    return space


@pytest.fixture(scope="session")
def packages(tiny_workspace: Workspace) -> dict[str, Path]:
    """The package folder of each task."""
    from tiltyard import task_file

    return {name: tiny.packaged(tiny_workspace, task_file.load(tiny_workspace, name)) for name in tiny.TASKS}


@pytest.fixture(scope="session")
def app(packages: dict[str, Path]) -> Starlette:
    """The REST routes over all four."""
    app = application()
    install(app, [Served.load(folder) for folder in packages.values()])
    return app


@pytest.fixture(scope="session")
def client(app: Starlette) -> Iterator[TestClient]:
    """A client that raises what the app raises."""
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="session")
def reigning(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all tasks but digits have a champion."""
    space = new_workspace(tmp_path_factory.mktemp("reigning"))
    for name in ("iris", "diabetes", "sine"):
        tiny.promoted(space, tiny.evaluated(space, name))
    return space
