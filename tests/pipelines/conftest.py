"""One Prefect server for all tests of flows, and projects in which stages can run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from workspaces import QUICK_TRAINING, ROOT, edit_task, new_workspace

from tiltyard.pipelines.flow import run
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.runtime import environment
from tiltyard.workspace import Workspace


@contextmanager
def without_coverage() -> Iterator[None]:
    """Start processes without coverage: stages are measured in their own tests.

    Coverage makes importing TensorFlow half as slow again.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A real Prefect server on a free port, with a separate database."""
    environment.configure_tools(Workspace(tmp_path_factory.mktemp("prefect")))
    from prefect.testing.utilities import prefect_test_harness

    with ExitStack() as stack:
        with without_coverage():
            stack.enter_context(prefect_test_harness(server_startup_timeout=120))
        yield


def new_project(root: Path) -> Workspace:
    """Create a workspace in which DVC finds the sources that its stages depend on; training is short."""
    workspace = new_workspace(root)
    (root / "src").symlink_to(ROOT / "src")
    for name in workspace.tasks():
        edit_task(workspace, name, QUICK_TRAINING)
    return workspace


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _server: None) -> Workspace:
    """A project in which nothing has been run."""
    monkeypatch.chdir(tmp_path)
    return new_project(tmp_path)


@pytest.fixture(scope="session")
def _run_once(tmp_path_factory: pytest.TempPathFactory, _server: None) -> tuple[Workspace, dict[str, TaskOutcome]]:
    """A project in which the pipeline was run for two tasks, and the results."""
    workspace = new_project(tmp_path_factory.mktemp("run"))
    edit_task(workspace, "iris", {"train.epochs": 150, "train.patience": 50})  # enough for a promotion
    with without_coverage():
        return workspace, {row.task: row for row in run(workspace, ["diabetes", "iris"])}


@pytest.fixture
def first_run(_run_once: tuple[Workspace, dict[str, TaskOutcome]]) -> dict[str, TaskOutcome]:
    """The results of the first run by task."""
    return _run_once[1]


@pytest.fixture
def run_project(_run_once: tuple[Workspace, TaskOutcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of that project for one test."""
    root = tmp_path / "project"
    shutil.copytree(_run_once[0].root, root, symlinks=True)
    monkeypatch.chdir(root)
    return Workspace(root)
