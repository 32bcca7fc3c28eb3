"""Options that families share: each has its intended effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from model_families import build_model, draw_features, model_settings, train_and_export
from pydantic import ValidationError
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.modeling.models._layers import Activation

pytestmark = pytest.mark.slow


def _train(content: dict[str, Any], shape: tuple[int, ...] = (40,), epochs: int = 60) -> Any:
    """Fit the sum of five of many features, with noise that favours large weights."""
    import keras

    chance = np.random.default_rng(0)
    x = chance.normal(size=(128, *shape)).astype(np.float32)
    y = 3 * x.reshape(128, -1)[:, :5].sum(axis=1) + chance.normal(size=128)
    model = build_model(content, shape)
    model.compile(keras.optimizers.Adam(0.03), "mse")
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    return model


def _kernel(model: Any, index: int = 0) -> Array:
    found: Array = np.array([layer for layer in model.layers if layer.weights][index].kernel)
    return found


def _penalties() -> dict[str, float]:
    mlp = {"family": "mlp", "units": [16]}
    plain, shrunk, sparse = (_kernel(_train(mlp | extra)) for extra in ({}, {"l2": 0.2}, {"l1": 0.1}))
    bounded, perceptron = (_train(mlp | {"max_norm": 0.5}), _train({"family": "perceptron", "max_norm": 0.5}))
    maps = _train({"family": "cnn", "filters": [4], "units": [], "max_norm": 0.3}, (6, 6, 1), 10)
    steps = _train({"family": "rnn", "units": [4], "max_norm": 0.2}, (6, 3), 10)
    free, held = (_train(mlp | {"l2": 0.05, "regularize_output": value}).get_layer("output") for value in (False, True))
    cell = next(layer.cell for layer in steps.layers if layer.weights)
    return {
        "plain": float(np.linalg.norm(plain)),
        "l2": float(np.linalg.norm(shrunk)),
        "output": float(np.linalg.norm(np.array(free.kernel))),
        "output with l2": float(np.linalg.norm(np.array(held.kernel))),
        "zeros without l1": float(np.mean(np.abs(plain) < 0.01)),
        "zeros with l1": float(np.mean(np.abs(sparse) < 0.01)),
        "longest": float(np.linalg.norm(plain, axis=0).max()),
        "longest of 0.5": float(np.linalg.norm(_kernel(bounded), axis=0).max()),
        "longest of 0.5 in the output": float(np.linalg.norm(_kernel(perceptron))),
        "longest of 0.3 into a map": float(np.sqrt((_kernel(maps) ** 2).sum(axis=(0, 1, 2))).max()),
        "longest of 0.2 into a cell": float(np.linalg.norm(np.array(cell.kernel), axis=0).max()),
    }


@pytest.mark.catalogue
def test_weight_penalties_limit_weights() -> None:
    """l2 shrinks weights, l1 sets most useless ones to zero, and max_norm holds in all kinds of layers."""
    result = run_in_process(_penalties)
    assert result["l2"] < 0.7 * result["plain"]
    assert result["output with l2"] < 0.8 * result["output"]
    assert result["zeros without l1"] < 0.1
    assert result["zeros with l1"] > 0.5
    assert result["longest"] > 0.6
    for name, length in result.items():
        if " of " in name:
            bound = float(name.split()[2])
            assert 0.9 * bound < length <= bound + 1e-5, name


def test_an_output_layer_without_penalties_is_refused() -> None:
    """The setting needs a penalty, a norm or an initializer; the codes of LeNet-5's paper form have none."""
    with pytest.raises(ValueError, match="regularize_output: expected with initializer, l1, l2 or max_norm; received"):
        model_settings({"family": "mlp", "regularize_output": True})
    assert "regularize_output" not in model_settings({"family": "mlp"}).model_dump()


FORMULAS: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda into, out: 2 / (into + out),
    "he": lambda into, _: 2 / into,
    "lecun": lambda into, _: 1 / into,
}


def _variances() -> dict[str, list[float]]:
    """Return each variance with that of its formula, for a dense layer 400 -> 300 and a convolution 40 -> 60."""
    found = {}
    for name in (f"{rule}_{shape}" for rule in FORMULAS for shape in ("uniform", "normal")):
        formula = FORMULAS[name.split("_")[0]]
        dense = _kernel(build_model({"family": "mlp", "units": [300], "initializer": name}, (400,)))
        cnn = {"family": "cnn", "filters": [60], "units": [], "initializer": name}
        maps = _kernel(build_model(cnn, (4, 4, 40)))
        found[f"{name} dense"] = [float(dense.var()), formula(400, 300)]
        found[f"{name} maps"] = [float(maps.var()), formula(9 * 40, 9 * 60)]
    unset, named = ({"family": "mlp"}, {"family": "mlp", "initializer": "glorot_uniform"})
    found["unset"] = [float(np.array(_kernel(build_model(content, (6,)))).sum()) for content in (unset, named)]
    orthogonal = _kernel(build_model({"family": "mlp", "units": [20], "initializer": "orthogonal"}, (20,)))
    found["orthogonal"] = [float(np.abs(orthogonal.T @ orthogonal - np.eye(20)).max()), 0.0]
    found["zeros"] = [float(np.abs(_kernel(build_model({"family": "mlp", "initializer": "zeros"}, (6,)))).max()), 0.0]
    return found


def test_initializers_match_their_formulas() -> None:
    """Variances are 2 / (in + out), 2 / in and 1 / in; the default equals Keras' default for the same seed."""
    for name, (received, expected) in run_in_process(_variances).items():
        assert received == pytest.approx(expected, rel=0.05, abs=1e-5), name


def _layers() -> dict[str, Any]:
    """Compare inputs and outputs of single layers."""
    import keras

    images = draw_features((8, 8, 1), "image") + 1
    model = build_model({"family": "cnn", "filters": [16], "units": [], "spatial_dropout": 0.5}, (8, 8, 1))
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.SpatialDropout2D))
    result = keras.Model(model.input, [layer.input, layer.output])(images, training=True)
    before, after = (np.array(part) for part in result)
    active = before.max(axis=(1, 2)) > 0
    dropped, scaled = (after == 0).all(axis=(1, 2)), np.isclose(after, 2 * before).all(axis=(1, 2))

    rows = 100 * draw_features((6,), "table") + 7
    model = build_model({"family": "mlp", "units": [5], "batch_norm": True, "activation": "tanh"}, (6,))
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    normal = np.array(keras.Model(model.input, layer.output)(rows / 100, training=True))

    slopes = [layer for layer in _train_mlp("prelu").layers if isinstance(layer, keras.layers.PReLU)]
    model = build_model({"family": "mlp", "units": [5], "activation": "leaky_relu", "slope": 0.3}, (6,))
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.LeakyReLU))
    hidden, activated = (np.array(part) for part in keras.Model(model.input, [layer.input, layer.output])(-rows))
    lists = build_model({"family": "mlp", "units": [5, 5, 5], "dropout": [0.1, 0.0, 0.3]}, (6,))
    return {
        "whole maps": bool((dropped | scaled)[active].all()),
        "share of maps": float(dropped[active].mean()),
        "mean": float(np.abs(normal.mean(axis=0)).max()),
        "deviation": [float(normal.std(axis=0).min()), float(normal.std(axis=0).max())],
        "slope": float(np.abs(np.array(slopes[0].alpha)).max()),
        "slopes of maps": list(_prelu_shape()),
        "leaky": bool(np.allclose(activated, np.where(hidden < 0, 0.3 * hidden, hidden), rtol=1e-4)),
        "rates": [layer.rate for layer in lists.layers if isinstance(layer, keras.layers.Dropout)],
    }


def _train_mlp(activation: str) -> Any:
    return _train({"family": "mlp", "units": [8], "activation": activation}, epochs=10)


def _prelu_shape() -> tuple[int, ...]:
    import keras

    model = build_model({"family": "cnn", "filters": [3], "units": [], "activation": "prelu"}, (8, 8, 1))
    return next(tuple(layer.alpha.shape) for layer in model.layers if isinstance(layer, keras.layers.PReLU))


def test_layer_options_have_their_effect() -> None:
    """Spatial dropout drops whole maps; batch norm gives mean 0 and deviation 1; slopes are learned or as set."""
    result = run_in_process(_layers)
    assert result["whole maps"]
    assert 0.35 < result["share of maps"] < 0.65
    assert result["mean"] < 0.01
    assert 0.8 < result["deviation"][0] <= result["deviation"][1] < 1.1
    assert result["slope"] > 0.02, "a learned slope begins at 0"
    assert result["slopes of maps"] == [1, 1, 3], "all positions of a map share one"
    assert result["leaky"]
    assert result["rates"] == [0.1, 0.3]


def _activations(folder: str) -> dict[str, float]:
    found = {}
    for name in get_args(Activation):
        content = {"family": "mlp", "units": [8], "activation": name}
        found[name] = train_and_export(content, (6,), "table", folder)["parity"]
    return found


@pytest.mark.catalogue
def test_every_activation_is_exported(tmp_path: Path) -> None:
    """ONNX outputs equal those of Keras."""
    assert {name: parity for name, parity in run_in_process(_activations, str(tmp_path)).items() if parity > 1e-5} == {}


def test_dropout_list_must_match_the_layers() -> None:
    """A list of the wrong length and an invalid rate are rejected."""
    with pytest.raises(ValueError, match=r"dropout: expected one share, or a list of 2; received \[0\.5\]"):
        run_in_process(_build_with_too_few_dropouts)
    with pytest.raises(ValidationError, match="less than 1"):
        model_settings({"family": "mlp", "dropout": 1.0})


def _build_with_too_few_dropouts() -> None:
    build_model({"family": "mlp", "units": [5, 5], "dropout": [0.5]}, (6,))
