"""Training of autoencoders: noise on the input alone, penalties in training alone, and codes that copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import SHAPES, model_settings, train_and_export
from pydantic import ValidationError
from workspaces import run_in_process

SIZE = 5


def _body(content: dict[str, Any], shape: tuple[int, ...]) -> Any:
    """Return family and network of a `model:` section, with features that are halved."""
    import keras

    keras.utils.set_random_seed(0)
    family, features = model_settings({"family": "autoencoder", **content}), keras.Input(shape, name="features")
    x = keras.layers.Rescaling([0.5] * shape[-1], [0.0] * shape[-1], name="standard")(features)
    return family, keras.Model(features, family.head(family.build(x), int(np.prod(shape)), "linear"))


def _norms(activation: str) -> tuple[list[float], list[float]]:
    """Return squared norms of the derivatives by the closed form, and by small differences of standardised features."""
    import keras

    from tiltyard.training import reconstruction

    _, body = _body({"units": [], "code": 3, "code_activation": activation}, (SIZE,))
    layer = body.get_layer("code")
    rows, step = np.random.default_rng(0).normal(size=(4, SIZE)), 1e-4
    code = np.asarray(layer(rows.astype(np.float32)))
    closed = reconstruction.squared_norms(reconstruction.SLOPES[activation](keras.ops.array(code)), layer.kernel)

    def precise(inputs: Any) -> Any:
        values = inputs @ np.asarray(layer.kernel, np.float64) + np.asarray(layer.bias, np.float64)
        functions: dict[str, Any] = {"linear": lambda v: v, "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}
        return functions.get(activation, lambda v: np.maximum(v, 0))(values)

    steps = np.stack([(precise(rows + step * one) - precise(rows - step * one)) / (2 * step) for one in np.eye(SIZE)])
    return np.asarray(closed).tolist(), np.square(steps).sum(axis=(0, 2)).tolist()


@pytest.mark.parametrize("activation", ["linear", "relu", "sigmoid", "tanh"])
def test_closed_form_of_the_contraction(activation: str) -> None:
    """The squared norm of the derivatives is that of small differences."""
    closed, measured = run_in_process(_norms, activation)
    assert closed == pytest.approx(measured, rel=1e-4)


def _losses(content: dict[str, Any]) -> dict[str, float]:
    """Return the losses of one batch in training and otherwise, and the plain mean squared error."""
    from tiltyard.training import reconstruction

    family, body = _body(content, (SIZE,))
    trainer = reconstruction.build_trainer(family, body, None, 0)
    trainer.compile("sgd", "mse")
    rows = np.random.default_rng(0).normal(size=(16, SIZE)).astype(np.float32)
    y, outputs = rows / 2, trainer(rows, training=False)
    found = {
        mode: float(trainer.compute_loss(rows, y, outputs, training=mode == "train")) for mode in ("train", "test")
    }
    return {**found, "mse": float(np.square(np.asarray(body(rows)) - y).mean())}


@pytest.mark.parametrize(
    ("content", "penalised"),
    [
        ({"units": []}, False),
        ({"units": [], "contraction": 0.1}, True),
        ({"units": [8], "sparsity": {"rho": 0.1, "weight": 0.5}}, True),
    ],
)
def test_penalties_count_in_training_only(content: dict[str, Any], penalised: bool) -> None:
    """The loss of validation is the plain error, so that variants compare."""
    losses = run_in_process(_losses, content)
    assert losses["test"] == pytest.approx(losses["mse"], rel=1e-4)
    assert (losses["train"] > losses["test"] + 1e-3) == penalised


def _divergences() -> list[float]:
    from tiltyard.modeling.models.autoencoder import Sparsity
    from tiltyard.training import reconstruction

    sparsity = Sparsity(rho=0.2, weight=3.0)
    return [float(reconstruction.divergence(sparsity, np.full((4, 2), value, np.float32))) for value in (0.2, 0.5, 0.0)]


def test_sparsity_is_the_divergence_from_rho() -> None:
    """It is 0 at rho, the weighted Kullback-Leibler divergence elsewhere, and finite at 0."""
    none, half, zero = run_in_process(_divergences)
    assert none == pytest.approx(0, abs=1e-6)
    assert half == pytest.approx(3 * 2 * (0.2 * np.log(0.2 / 0.5) + 0.8 * np.log(0.8 / 0.5)), rel=1e-5)
    assert half < zero < 100


def _noisy(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return rows with the noise of training, and without it."""
    from tiltyard.training.reconstruction import InputNoise

    rows = np.full((500, *shape), 100.0, np.float32)
    noise = InputNoise(0.5, np.array([200.0] * (1 if len(shape) > 1 else shape[0])), pixels=len(shape) > 1, seed=0)
    noisy = np.asarray(noise(rows, training=True))
    return {
        "deviation": float(noisy.std()),
        "low": float(noisy.min()),
        "high": float(noisy.max()),
        "served": float(np.abs(np.asarray(noise(rows)) - rows).max()),
    }


def test_noise_is_in_shares_of_the_scale() -> None:
    """Numbers get noise of half a deviation in training and none otherwise; pixels stay within their range."""
    numbers, pixels = run_in_process(_noisy, (3,)), run_in_process(_noisy, (4, 4, 1))
    assert numbers["deviation"] == pytest.approx(100, rel=0.1)
    assert numbers["low"] < 0
    assert (pixels["low"], pixels["high"]) == (0.0, 200.0)
    assert numbers["served"] == pixels["served"] == 0


def _shapes(content: dict[str, Any], shape: tuple[int, ...]) -> list[Any]:
    from tiltyard.training import reconstruction

    _, body = _body(content, shape)
    served = reconstruction.build_inference(body)
    rows = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32)
    outputs, size = np.asarray(served(rows)), int(np.prod(shape))
    error = np.square(outputs[:, :size] - rows.reshape(4, -1) / 2).mean(axis=1)
    return [list(outputs.shape), float(np.abs(outputs[:, -1] - error).max())]


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 9, 3), (5,)])
def test_outputs_are_reconstruction_code_and_error(shape: tuple[int, ...]) -> None:
    """Also convolutions with stride 2 return images of odd sizes; the error is that of the standardised features."""
    content = {"kind": "conv", "filters": [4, 8], "code": 6} if len(shape) == 3 else {"code": 6}
    found, difference = run_in_process(_shapes, content, shape)
    assert found == [4, int(np.prod(shape)) + 6 + 1]
    assert difference < 1e-5


def _floors() -> list[float]:
    from tiltyard.training import reconstruction

    return [float(size) for size in reconstruction.floors(6, 2)]


def test_small_codes_may_differ_more_than_small_errors() -> None:
    """The outputs are three features, two numbers of the code, and the error: each has its own floor of parity."""
    assert run_in_process(_floors) == [1e-2] * 3 + [1e-1] * 2 + [1e-4]


def _errors() -> list[float]:
    """Return the errors of random rows, which have no structure, with a code of one number and with one of eight."""
    rows, found = np.random.default_rng(0).normal(size=(64, SIZE)).astype(np.float32), []
    for code in (1, 8):
        _, body = _body({"units": [], "code": code}, (SIZE,))
        body.compile("adam", "mse", steps_per_execution=1)
        body.optimizer.learning_rate = 0.02
        losses = [body.train_on_batch(rows, rows / 2) for _ in range(300)]
        found.append(float(losses[-1]))
    return found


def test_an_over_complete_code_copies() -> None:
    """More numbers than features hold every row, also of pure noise: a small error alone says nothing of the code."""
    small, large = run_in_process(_errors)
    assert small > 0.1
    assert large < 1e-3


def _drawn() -> dict[str, Any]:
    """Return codes drawn in training, those served, and the divergence that the loss has."""
    from tiltyard.modeling.models._random_layers import DrawnCode

    layer = DrawnCode(2.0, 0)
    both = np.tile(np.array([[1.0, -2.0, 0.0, np.log(4.0)]], np.float32), (20_000, 1))
    drawn, served = np.asarray(layer(both, training=True)), np.asarray(layer(both))
    codes = drawn[:, :2]
    layer(both, training=True)
    return {
        "mean": codes.mean(axis=0).tolist(),
        "deviation": codes.std(axis=0).tolist(),
        "served": bool((served == both).all()),
        "loss": float(layer.losses[-1]),
    }


def test_variational_codes_are_drawn_in_training_only() -> None:
    """They have the mean and the variance of their distribution; the loss has the weighted closed-form divergence."""
    found = run_in_process(_drawn)
    assert found["mean"] == pytest.approx([1, -2], abs=0.05)
    assert found["deviation"] == pytest.approx([1, 2], rel=0.03)
    assert found["served"]
    divergence = (1 + 1 - 1 - 0) / 2 + (4 + 4 - 1 - np.log(4)) / 2
    assert found["loss"] == pytest.approx(2 * divergence, rel=1e-5)


def test_variational_autoencoder_is_exported(tmp_path: Path) -> None:
    """It learns, and its ONNX file returns what the network does with the means: nothing random is left."""
    settings = {"family": "autoencoder", "variational": 0.01}
    result = run_in_process(train_and_export, settings, SHAPES["table"], "table", str(tmp_path))
    # 6 x 128 + 128, 128 x 64 + 64 to mean and log-variance, 32 x 128 + 128, the output's 128 + 1
    assert result["parameters"] == 13505
    assert result["losses"][-1] < result["losses"][0]
    assert result["reloaded"] == 0
    assert result["parity"] < 1e-5


def test_variational_code_is_linear_without_penalties() -> None:
    """Other settings of the code contradict a distribution of it."""
    for other in ({"code_activation": "tanh"}, {"sparsity": {"weight": 1.0}}, {"contraction": 1.0, "units": []}):
        with pytest.raises(ValidationError, match="variational: expected a linear code"):
            model_settings({"family": "autoencoder", "variational": 0.1, **other})
