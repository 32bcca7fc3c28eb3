"""The backend: chosen by the task file, unless an environment variable names one; another process trains if it must."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from model_families import needs_jax
from workspaces import edit_task, fetch_raw, run_in_process

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TrainingError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import prepare
from tiltyard.training import backend
from tiltyard.workspace import Workspace

JAX = importlib.util.find_spec("jax") is not None


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    yield
    assert "KERAS_BACKEND" not in os.environ


@pytest.mark.parametrize(
    ("name", "setting", "expected"),
    [
        ("iris", None, "tensorflow"),
        ("iris", "jax", "jax"),
        ("iris", "auto", "jax"),
        ("sine", "auto", "tensorflow"),
        ("digits", "auto", "tensorflow"),
    ],
)
def test_backend_of_a_task(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, setting: str | None, expected: str
) -> None:
    """The default is TensorFlow; auto is JAX, where it is installed, for dense networks."""
    edit_task(workspace, name, {"train.backend": setting})
    task = loader.load(workspace, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert backend.chosen(task) == expected
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else name)
    assert backend.chosen(task) == ("jax" if setting == "jax" else "tensorflow")


def test_environment_variable_wins(workspace: Workspace) -> None:
    """KERAS_BACKEND decides, whatever the task file says."""
    edit_task(workspace, "iris", {"train.backend": "auto"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        assert backend.chosen(loader.load(workspace, "iris")) == "jax"


def test_strange_backend_is_refused(workspace: Workspace) -> None:
    """The error names the variable, what it may be, and what it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        with pytest.raises(TrainingError, match=r"KERAS_BACKEND: expected tensorflow or jax; received torch"):
            backend.load(loader.load(workspace, "iris"))


def test_missing_backend_is_refused(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that asks for JAX where it is not installed is refused before anything is loaded."""
    edit_task(workspace, "iris", {"train.backend": "jax"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else name)
    with pytest.raises(TrainingError, match="expected an installed backend; jax is not installed"):
        backend.load(loader.load(workspace, "iris"))


def test_other_loaded_backend_is_noticed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has loaded TensorFlow trains its own tasks, and those of JAX in another process."""
    loaded: Any = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "tensorflow"))
    edit_task(workspace, "iris", {"train.backend": "jax"})
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    assert not backend.is_other_loaded(loader.load(workspace, "iris"))
    monkeypatch.setitem(sys.modules, "keras", loaded)
    assert backend.is_other_loaded(loader.load(workspace, "iris"))
    assert not backend.is_other_loaded(loader.load(workspace, "digits"))


def _trained_apart(workspace: Workspace) -> Any:
    from tiltyard.training import train

    found = {name: train.train(workspace, loader.load(workspace, name))["backend"] for name in ("iris", "diabetes")}
    return found, os.environ.get("KERAS_BACKEND")


def _prepare(workspace: Workspace, name: str, **settings: Any) -> None:
    edit_task(workspace, name, {"train.epochs": 2, **{f"train.{key}": value for key, value in settings.items()}})
    fetch_raw(workspace, name)
    prepare.prepare(workspace, loader.load(workspace, name))


@pytest.mark.jax
@pytest.mark.slow
@needs_jax
def test_tasks_of_both_backends_are_trained_by_one_command(workspace: Workspace) -> None:
    """In a process with TensorFlow, a task for JAX is trained by JAX, and the next one by TensorFlow."""
    _prepare(workspace, "iris", backend="auto")
    _prepare(workspace, "diabetes")
    found, variable = run_in_process(_trained_apart, workspace)
    assert found == {"iris": "jax", "diabetes": "tensorflow"}
    assert variable is None
    out = workspace.out("iris", "train")
    assert files.read_json(out / "device.json")["backend"] == "jax"
    assert files.read_json(out / "training.json")["parity"] < 1e-4
    assert Predictor.load(out)


@pytest.mark.slow
@pytest.mark.skipif(JAX, reason="JAX is installed")
def test_error_of_the_other_process_is_passed_on(workspace: Workspace) -> None:
    """Where JAX is not installed, the error of the process that should load it is raised."""
    _prepare(workspace, "iris", backend="jax")
    with pytest.raises(TrainingError, match="jax is not installed"):
        run_in_process(_trained_apart, workspace)
