"""Contract of all model families: building, learning, batches of one, saving and loading, ONNX export with parity."""

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
from tiltyard.contracts.models import fulfils

pytestmark = pytest.mark.slow

# Families use their defaults; for large ones, these are the smallest settings with all parts.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"small": True, "width": 0.05, "units": [16], "dropout": 0.0},
    "detector": {"filters": [4, 8, 8], "blocks": 1},
    "inception": {"small": True, "width": 0.1, "dropout": 0.0},
    "inception_resnet_v2": {"small": True, "width": 0.02, "blocks": [1, 1, 2], "dropout": 0.0},
    "inception_v3": {"small": True, "width": 0.02},
    "inception_v4": {"small": True, "width": 0.02, "blocks": [1, 1, 1], "dropout": 0.0},
    "mobilenet": {"small": True, "width": 0.05},
    "resnet": {"small": True, "blocks": [1, 1], "filters": 4},
    "captioner": {"filters": [4, 8], "width": 8, "heads": 2, "hidden": 16},
    "python": {"path": "own_model.py:build"},
    "pretrained": {"base": {"family": "transformer", "pool": "none"}},
    "unet": {"filters": [4, 8]},
    "transfer": {"base": {"family": "cnn", "filters": [4, 8], "units": []}, "units": [16]},
    "vgg": {"width": 0.05, "units": [16], "dropout": 0.0},
    "xception": {"small": True, "width": 0.05, "blocks": 1},
}
NETWORKS = [name for name in plugins.names("models") if plugins.load("models", name).trained_by_epochs]
FAMILIES = [name for name in NETWORKS if not plugins.load("models", name).generates]  # those: test_samplers.py
WITHOUT_NEWS = {"inception", "inception_v3", "inception_v4"}  # they have no layers that the others lack
JAXED = [name for name in FAMILIES if name not in WITHOUT_NEWS]
LARGE = (32, 32, 1)  # the smallest image for large networks
# seq2seq: twice 20 x 32 and 4 x (32 + 64 + 1) x 64, 64 x 20 + 20
# tabm, 6 numbers: 6 x (1 + 1 + 16) x 8, 16 x 48, 48 x 128 + 128, 128 x 128 + 128, 16 x (128 + 1)
# realmlp: 6 x (2 x 16 + 16 x 3 + 3 + 4), 24 x 256 + 256, 2 x (256 x 256 + 256), 3 x 256 shares of activations, 257
# histograms: 40 counts and 144 by place, twice each for scaling, then a weight for each and the output's bias
# ngrams: 20 weights and 20 pairs that are not trained, the output's 1 + 1
# wide_deep, 6 numbers without categories: 6 x 64 + 64, 64 x 32 + 32, the output's 32 + 6 + 1
# mixed: 20 vectors of 32; 10 x 16, 145 x 32 and 129 x 32 for the image; 7 x 32 for the numbers; 97 x 64, 65
# autoencoder: 6 x 128 + 128, 128 x 32 + 32 to the code, 32 x 128 + 128, the output's 128 + 1
# detector, no biases but 4 for each map: 52 + 320 down, 4 x 608 in blocks, 608 down, 96 + 1184 up, the heads' 8 x 7 + 7
# unet, the same: 52 + 160 at first, 320 + 608 at a half, 48 + 304 + 160 up, the output's 4 x 3 + 3
# two_tower: 2 x (5 x 32 + 2 x 32 + 32, and a bias of 5 + 2 + 1) for users, the same with 7 identifiers for items
# deep_clustering: 6 x 128 + 128, 128 x 10 + 10 to the code, 10 x 128 + 128, the output's 128 + 1
# dbn: 6 x 256 + 256, 256 x 256 + 256, the output's 256 + 1
# rbm: 64 x 500 + 500, the output's 500 + 1
# python: 6 x 8 + 8 by tests/builders/own_model.py, the output's 8 + 1
# bow: 20 vectors of 32, a dense layer of 32 x 32 + 32, the output's 32 + 1
# captioner: 9 x 4 + 4, 36 x 8 + 8, 8 x 8 + 8 and 4 places of 8; 20 words and 4 steps of 8; two attentions of
# 4 x (64 + 8), 3 norms of 16, 8 x 16 + 16, 16 x 8 + 8; a norm of 16, the output's 8 x 20 + 20
PARAMETERS = {
    "alexnet": 6545,
    "autoencoder": 9377,
    "bow": 1729,
    "captioner": 1732,
    "cnn": 35329,
    "detector": 4755,
    "dbn": 67841,
    "deep_clustering": 3723,
    "histograms": 553,
    "inception": 60189,
    "inception_resnet_v2": 8159,
    "inception_v3": 11063,
    "inception_v4": 6771,
    "lenet5": 61196,
    "mixed": 16065,
    "mlp": 2561,
    "mobilenet": 12561,
    "ngrams": 62,
    "perceptron": 7,
    "pretrained": 9665,
    "python": 65,
    "rbm": 33001,
    "realmlp": 139531,
    "resnet": 2449,
    "rnn": 4385,
    "seq2seq": 52244,
    "tabm": 26480,
    "transfer": 881,
    "transformer": 9665,
    "unet": 1667,
    "two_tower": 1188,
    "vgg": 37849,
    "wide_deep": 2567,
    "xception": 29189,
}  # a changed number is a changed model: say why in CHANGELOG


def _case(name: str) -> tuple[dict[str, Any], tuple[int, ...], str]:
    """Return settings of a family, and shape and modality of what it reads."""
    modality = plugins.load("models", name).modalities[0]
    shape = (
        LARGE if name in {*SMALL, "lenet5"} - {"transfer", "pretrained", "captioner", "python"} else SHAPES[modality]
    )
    return {"family": name, **SMALL.get(name, {})}, shape, modality


@pytest.mark.parametrize("model_name", FAMILIES)
def test_model_family_fulfils_the_contract(model_name: str, tmp_path: Path) -> None:
    """The parameter count is fixed, the loss falls, and outputs are equal after loading and after export."""
    result = run_in_process(train_and_export, *_case(model_name), str(tmp_path))
    assert result["parameters"] == PARAMETERS[model_name]
    fulfils(result)


def _save_models_and_outputs(folder: str) -> None:
    """Save a model of each family with TensorFlow, and its outputs."""
    for name in JAXED:
        model, x, _ = model_and_data(*_case(name))
        model.save(f"{folder}/{name}.keras")
        np.savez(f"{folder}/{name}.npz", x=x, y=np.asarray(model(x)))


def _compare_under_jax(folder: str) -> dict[str, dict[str, Any]]:
    """Predict with the saved models and train the small ones again; only TensorFlow exports to ONNX."""
    import keras

    result: dict[str, dict[str, Any]] = {}
    for name in JAXED:
        saved = np.load(f"{folder}/{name}.npz")
        outputs = keras.saving.load_model(f"{folder}/{name}.keras").predict(saved["x"], verbose=0)
        trained = {} if name in SMALL else train_and_export(*_case(name), folder, onnx=False)
        result[name] = {
            "backend": keras.backend.backend(),
            "worst": float(np.abs(outputs - saved["y"]).max()),
            **trained,
        }
    return result


@pytest.mark.jax
@needs_jax
def test_model_families_agree_under_jax(tmp_path: Path) -> None:
    """With the weights saved by TensorFlow, outputs are equal; families that train in seconds learn as well."""
    run_in_process(_save_models_and_outputs, str(tmp_path))
    code = f"import json, test_models; print(json.dumps(test_models._compare_under_jax({str(tmp_path)!r})))"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    quick = "--xla_backend_optimization_level=0"  # compiled for a few steps, not for speed
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": quick, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for name, result in json.loads(done.stdout.splitlines()[-1]).items():
        assert result["backend"] == "jax"
        assert result["worst"] < 1e-4, name
        if name not in SMALL:
            assert result["parameters"] == PARAMETERS[name]
            assert result["losses"][-1] < result["losses"][0], name
            assert result["reloaded"] == 0, name
