"""Shared fixtures: empty projects, a project with trained models, timeouts and generated parameters."""

from __future__ import annotations

import gc
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from workspaces import QUICK_TRAINING, ROOT, edit_task, fetch_raw, new_workspace, small_project, train_tasks

from tiltyard import plugins
from tiltyard.config import loader, task_list
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

# Property tests use the same examples everywhere, unless `make fuzz` requests new ones. No limit depends on a clock.
settings.register_profile(
    "fixed", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "fuzz",
    deadline=None,
    print_blob=True,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES") or 100),
    suppress_health_check=[HealthCheck.too_slow],
)
pytest_plugins = ["service_fixtures"]
PROFILE = os.environ.get("HYPOTHESIS_PROFILE") or "fixed"
settings.load_profile(PROFILE)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty project without outputs, as the working directory."""
    monkeypatch.chdir(tmp_path)
    return new_workspace(tmp_path)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project with three quick stages for four tasks, as the working directory."""
    monkeypatch.chdir(tmp_path)
    return small_project(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """All four tasks prepared and trained for a few epochs; read-only: to write, use `trained_project`."""
    workspace = new_workspace(tmp_path_factory.mktemp("trained"))
    for name in workspace.tasks():
        edit_task(workspace, name, QUICK_TRAINING)
        fetch_raw(workspace, name)
        prepare.prepare(workspace, loader.load(workspace, name))
    train_tasks(workspace, *workspace.tasks())
    return workspace


@pytest.fixture
def trained_project(trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of `trained` for one test, as the working directory."""
    root = tmp_path / "project"
    shutil.copytree(trained.root, root)
    monkeypatch.chdir(root)
    return Workspace(root)


@pytest.fixture
def mirror() -> Path:
    """The folder of real data files; without it, the test is skipped."""
    if not (folder := os.environ.get("TILTYARD_MIRROR")):
        pytest.skip("needs real files: set TILTYARD_MIRROR to their folder")
    return Path(folder)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a file from text or bytes."""

    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for private keys, for one test."""
    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.delenv("TILTYARD_SIGNING_KEY", raising=False)
    return folder / "tiltyard" / "signing"


TIMEOUTS = {"smoke": 1800, "jax": 1800, "catalogue": 3600}  # timeouts in seconds by marker
PLUGINS = ("sources", "problems", "evaluators", "checks", "columns", "findings", "explanations")
LONGEST = (
    *("test_flow.py", "test_search.py", "test_study.py", "test_schedule.py", "test_service.py", "test_package.py"),
    *("test_adversarial.py", "test_sampling_served.py", "test_pictures_served.py", "test_train.py", "test_transfer.py"),
    *("test_deep_belief.py", "test_blend.py", "test_epochs.py", "test_captions_served.py", "test_vae.py"),
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without garbage collection, which would visit all modules and tests again and again, as later ones do."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Set a longer timeout than that of pyproject.toml for smoke, jax and catalogue tests."""
    for name, seconds in TIMEOUTS.items():
        if item.get_closest_marker(name) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(seconds))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the files that take minutes: started last, they would leave the other core idle."""
    if PROFILE == "fuzz":  # so that short runs start with other files each time
        seed = config.getoption("hypothesis_seed")
        items.sort(key=lambda item: zlib.crc32(f"{seed} {item.path.name}".encode()))
        return
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize contract tests with all plug-ins of the folder that their argument is named after, and all tasks."""
    for folder in PLUGINS:
        if (name := folder[:-1]) + "_name" in metafunc.fixturenames:
            metafunc.parametrize(f"{name}_name", plugins.names(folder))
    if "task_name" in metafunc.fixturenames:
        metafunc.parametrize("task_name", task_list.listed(Workspace(ROOT)))
    if "catalogue_name" in metafunc.fixturenames:
        metafunc.parametrize(
            "catalogue_name", sorted({*Workspace(ROOT).tasks()} - {*task_list.listed(Workspace(ROOT))})
        )


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """End a fuzz run when its time is over, after the current test."""
    if PROFILE == "fuzz" and time.time() > float(os.environ.get("FUZZ_UNTIL") or "inf"):
        item.session.shouldstop = "the time is over"
