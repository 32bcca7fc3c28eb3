"""Fixtures of the service: packages of random models for all four tasks, and the app that serves them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import random_models
import recording_thread
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard import files
from tiltyard.serving.http import champion_watcher
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento
from tiltyard.serving.recording import sender
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.workspace import Workspace


@pytest.fixture(scope="session", autouse=True)
def recording_in_thread() -> Iterator[None]:
    """Recorders start a thread instead of a process, except in services that tests start as processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sender, "start_process", recording_thread.start)
        yield


@pytest.fixture(scope="session", autouse=True)
def builder_starts_when_it_builds() -> Iterator[None]:
    """Promotions of tests, most of which package nothing, start no process of BentoML before they build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bento.Builder, "load", lambda _: None)
        yield


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all four tasks are evaluated."""
    space = new_workspace(tmp_path_factory.mktemp("tiny"))
    for name in random_models.TASKS:
        random_models.write_evaluated(space, name)
    return space


@pytest.fixture(scope="session")
def packages(tiny_workspace: Workspace) -> dict[str, Path]:
    """The package folder of each task."""
    from tiltyard.config import loader

    return {
        name: random_models.write_package(tiny_workspace, loader.load(tiny_workspace, name))
        for name in random_models.TASKS
    }


@pytest.fixture(scope="session")
def app(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Starlette:
    """The REST routes over all four; nothing is recorded."""
    app = create_app()
    app.state.recorder = Recorder(tmp_path_factory.mktemp("records"))
    install(app, [LoadedModel.load(folder) for folder in packages.values()])
    return app


@pytest.fixture(scope="session")
def client(app: Starlette) -> Iterator[TestClient]:
    """A client that raises what the app raises."""
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="session")
def champions_project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which all tasks but digits have a champion."""
    space = new_workspace(tmp_path_factory.mktemp("champions"))
    for name in ("iris", "diabetes", "sine"):
        random_models.write_champion(space, random_models.write_evaluated(space, name))
    return space


@pytest.fixture(scope="session")
def versions_project(
    tmp_path_factory: pytest.TempPathFactory, champions_project: Workspace
) -> tuple[Workspace, list[str]]:
    """Read-only: three versions of iris with golden rows; the first is champion."""
    space = Workspace(tmp_path_factory.mktemp("arena"))
    shutil.copytree(champions_project.root, space.root, dirs_exist_ok=True)
    shutil.rmtree(space.champion("iris").parent)
    folders = [
        random_models.write_package(space, random_models.write_evaluated(space, "iris", seed)) for seed in range(3)
    ]
    for folder in folders:
        answers = LoadedModel.load(folder).predict([random_models.IRIS])
        files.write_json(folder / "golden.json", {"instances": [random_models.IRIS], "predictions": answers})
        files.write_json(folder / "proven.json", {})
    random_models.set_champion(space, folders[0].name)
    return space, [folder.name for folder in folders]


@pytest.fixture
def served_project(
    versions_project: tuple[Workspace, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Workspace, list[str], Starlette, ChampionWatcher]:
    """A copy of `versions_project` for one test, and an app whose champion watcher runs only when the test calls it."""
    monkeypatch.setattr(champion_watcher, "POLL_SECONDS", 1e6)
    space = Workspace(tmp_path / "own")
    shutil.copytree(versions_project[0].root, space.root)
    app = create_app()
    found = ChampionWatcher(app, space.root / "serving")
    found.start()
    return space, versions_project[1], app, found


@pytest.fixture
def recorder(served_project: tuple[Workspace, list[str], Starlette, ChampionWatcher]) -> Iterator[Recorder]:
    """The recorder of the app; it records all requests in the project's folder."""
    recorder = Recorder(served_project[0].records, 1.0)
    served_project[2].state.recorder = recorder
    yield recorder
    recorder.sender.close()
