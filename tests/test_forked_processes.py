"""Processes that tests fork: they share what the server of forks has loaded, and nothing else reaches them."""

from __future__ import annotations

import gc
import os
import sys

from workspaces import run_in_process

from tiltyard.workspace import Workspace


def _state() -> tuple[bool, int, list[str], str | None]:
    """Return what the server loaded, as it is in a fork."""
    loaded = sorted({"tensorflow", "tf2onnx.tfonnx", "tiltyard.training.epochs"} & {*sys.modules})
    return "preloaded" in sys.modules, len(gc.get_objects()), loaded, os.environ.get("PYTHONPATH")


def test_forks_have_the_libraries_of_their_server() -> None:
    """Its objects are frozen, so that no collection copies them; the path that it was found by is gone."""
    preloaded, collected, loaded, path = run_in_process(_state)
    assert preloaded
    assert collected < 10_000
    assert loaded == ["tensorflow", "tf2onnx.tfonnx", "tiltyard.training.epochs"]
    assert path == os.environ.get("PYTHONPATH")


def test_new_workspaces_have_the_listed_tasks_alone(workspace: Workspace) -> None:
    """Those of the catalogue need data from elsewhere; the schema of tasks is there."""
    names = {path.name for path in (workspace.root / "tasks").iterdir()}
    assert names == {"diabetes.yaml", "digits.yaml", "iris.yaml", "sine.yaml", "schema.json"}
