"""The other backend: JAX trains, and TensorFlow writes the ONNX file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import needs_jax
from workspaces import edit_task, fetch_raw

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TrainingError
from tiltyard.explain import explain
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare
from tiltyard.training.onnx import export
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

COMMAND = "import sys; from tiltyard.cli.main import main; sys.argv = ['tiltyard', *sys.argv[1:]]; main()"


def under_jax(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the JAX backend."""
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COMMAND, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.jax
@needs_jax
def test_jax_training_and_onnx_file_have_the_same_loss(workspace: Workspace) -> None:
    """Training succeeds, and the ONNX file has the validation loss that JAX recorded in the best epoch."""
    edit_task(workspace, "iris", {"train.epochs": 3})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    result = under_jax("train", "iris")
    assert result.returncode == 0, result.stderr[-2000:]
    out = workspace.out("iris", "train")
    record = files.read_json(out / "training.json")
    assert files.read_json(out / "device.json")["backend"] == "jax"
    assert record["parity"] < 1e-4
    features, truth = array_file.read_part(workspace.out("iris", "prepare") / "validation.npz")
    shares = Predictor.load(out).run(features)[np.arange(len(truth)), truth]
    assert -np.log(shares).mean() == pytest.approx(record["history"]["val_loss"][record["best_epoch"] - 1], rel=1e-4)


@pytest.mark.jax
@needs_jax
def test_gradients_are_the_same_under_jax(trained_project: Workspace) -> None:
    """Saliency maps and adversarial examples of a trained model have the same numbers."""
    options = ("--only", "saliency", "--only", "adversarial")
    explain.explain(trained_project, loader.load(trained_project, "iris"), explain.ExplainRequest(only=options[1::2]))
    expected = files.read_json(trained_project.out("iris", "explain") / "explain.json")
    result = under_jax("explain", "iris", *options)
    assert result.returncode == 0, result.stderr[-2000:]
    received = files.read_json(trained_project.out("iris", "explain") / "explain.json")
    assert [one["title"] for one in received["exhibits"]] == [one["title"] for one in expected["exhibits"]]
    for one, other in zip(received["exhibits"], expected["exhibits"], strict=True):
        assert numbers(one["data"]) == pytest.approx(numbers(other["data"]), rel=0.02, abs=0.01), one["title"]


def numbers(data: Any) -> list[float]:
    """Return all numbers of an exhibit in their order."""
    if isinstance(data, dict | list):
        inside = data.values() if isinstance(data, dict) else data
        return [number for one in inside for number in numbers(one)]
    return [float(data)] if isinstance(data, int | float) else []


def test_export_without_tensorflow_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only JAX is installed, the error names what is missing."""
    (tmp_path / "tensorflow.py").write_text("raise ModuleNotFoundError('No module named tensorflow')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    with pytest.raises(TrainingError, match=r"expected TensorFlow, which writes ONNX, .*No module named tensorflow"):
        export._convert_apart(tmp_path, "model")
