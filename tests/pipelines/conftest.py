"""One Prefect server for all tests of flows, and projects in which stages can run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from making import QUICK, ROOT, edit_task, new_workspace

from tiltyard import quiet
from tiltyard.workspace import Workspace


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real server on a free port, with a database of its own."""
    quiet.silence(Workspace(tmp_path_factory.mktemp("prefect")))
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _server: None) -> Workspace:
    """A workspace in which DVC finds the sources that its stages depend on; trainings are short."""
    monkeypatch.chdir(tmp_path)
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    for name in workspace.tasks():
        edit_task(workspace, name, QUICK)
    return workspace
