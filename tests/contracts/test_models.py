"""What every model family must do: build, learn, survive a batch of one, be saved and loaded, export with parity."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import SHAPES, model_and_data, needs_jax, train_and_export
from workspaces import run_in_process

from tiltyard import plugins

pytestmark = pytest.mark.slow

# A family is tried as it is by default; of a large one, the smallest that has all its parts.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"small": True, "width": 0.05, "units": [16], "dropout": 0.0},
    "inception": {"small": True, "width": 0.1, "dropout": 0.0},
    "resnet": {"small": True, "blocks": [1, 1], "filters": 4},
    "transfer": {"base": {"family": "cnn", "filters": [4, 8], "units": []}, "units": [16]},
    "vgg": {"width": 0.05, "units": [16], "dropout": 0.0},
    "xception": {"small": True, "width": 0.05, "blocks": 1},
}
JAXED = [name for name in plugins.names("models") if name != "inception"]  # nothing in it that is not in the others
LARGE = (32, 32, 1)  # pixels that a large network needs
# seq2seq: twice 20 x 32 and 4 x (32 + 64 + 1) x 64, 64 x 20 + 20
# bow: 20 vectors of 32, a dense layer of 32 x 32 + 32, the output's 32 + 1
PARAMETERS = {
    "alexnet": 6545,
    "bow": 1729,
    "cnn": 35329,
    "inception": 60189,
    "lenet5": 61196,
    "mlp": 2561,
    "perceptron": 7,
    "resnet": 2449,
    "rnn": 4385,
    "seq2seq": 52244,
    "transfer": 881,
    "transformer": 9665,
    "vgg": 37849,
    "xception": 29189,
}  # a changed number is a changed model: say why in CHANGELOG


def _case(name: str) -> tuple[dict[str, Any], tuple[int, ...], str]:
    """Return settings of a family, and shape and modality of what it reads."""
    modality = plugins.load("models", name).modalities[0]
    shape = LARGE if name in {*SMALL, "lenet5"} - {"transfer"} else SHAPES[modality]
    return {"family": name, **SMALL.get(name, {})}, shape, modality


def test_a_family_keeps_its_promises(model_name: str, tmp_path: Path) -> None:
    """Locked parameter count, falling loss, same outputs after loading and after export, for one row and many."""
    seen = run_in_process(train_and_export, *_case(model_name), str(tmp_path))
    assert seen["parameters"] == PARAMETERS[model_name]
    assert seen["losses"][-1] < seen["losses"][0]
    assert seen["reloaded"] == 0
    assert seen["parity"] < 1e-5


def _leave_answers(folder: str) -> None:
    """Leave, of each family, a model as TensorFlow saves it, and what it answers."""
    for name in JAXED:
        model, x, _ = model_and_data(*_case(name))
        model.save(f"{folder}/{name}.keras")
        np.savez(f"{folder}/{name}.npz", x=x, y=np.asarray(model(x)))


def _under_jax(folder: str) -> dict[str, dict[str, Any]]:
    """Load what TensorFlow left, and answer; train what is small anew. It is exported by TensorFlow alone."""
    import keras

    seen: dict[str, dict[str, Any]] = {}
    for name in JAXED:
        left = np.load(f"{folder}/{name}.npz")
        answers = keras.saving.load_model(f"{folder}/{name}.keras").predict(left["x"], verbose=0)
        trained = {} if name in SMALL else train_and_export(*_case(name), folder, onnx=False)
        seen[name] = {"backend": keras.backend.backend(), "worst": float(np.abs(answers - left["y"]).max()), **trained}
    return seen


@pytest.mark.jax
@needs_jax
def test_families_are_the_same_under_jax(tmp_path: Path) -> None:
    """With the weights that TensorFlow saved, every family answers alike; those that train in seconds learn alike."""
    run_in_process(_leave_answers, str(tmp_path))
    code = f"import json, test_models; print(json.dumps(test_models._under_jax({str(tmp_path)!r})))"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    quick = "--xla_backend_optimization_level=0"  # compiled for a few steps, not for speed
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": quick, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, seen in json.loads(done.stdout.splitlines()[-1]).items():
        assert seen["backend"] == "jax"
        assert seen["worst"] < 1e-4, name
        if name not in SMALL:
            assert seen["parameters"] == PARAMETERS[name]
            assert seen["losses"][-1] < seen["losses"][0], name
            assert seen["reloaded"] == 0, name
