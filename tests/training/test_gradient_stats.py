"""Gradient statistics: vanishing and exploding gradients and dead units in networks built to have them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.training import diagnosis

pytestmark = pytest.mark.slow


def _snapshots(folder: str, depth: int, epochs: int, rate: float = 0.01, **dense: Any) -> list[dict[str, Any]]:
    """Train a network of equal layers on a round boundary, and return its snapshots; runs in a separate process."""
    import keras

    from tiltyard.training.event_writer import EventWriter
    from tiltyard.training.gradient_stats import GradientStats

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(128, 4)).astype(np.float32)
    y = (np.square(x).sum(axis=1, keepdims=True) > 4).astype(np.float32)
    features = hidden = keras.Input((4,), name="features")
    for _ in range(depth):
        hidden = keras.layers.Dense(16, **dense)(hidden)
    model = keras.Model(features, keras.layers.Dense(1, name="output")(hidden))
    model.compile(keras.optimizers.SGD(rate), "mse")
    stats = GradientStats(model, "mse", (x[:64], y[:64]), EventWriter(Path(folder)))
    model.fit(x, y, epochs=epochs, callbacks=[stats], verbose=0)
    stats.writer.close()
    return stats.snapshots


def _all_snapshots(folder: str) -> dict[str, list[dict[str, Any]]]:
    """Return the snapshots of a healthy network and of four with problems."""
    from keras import initializers

    return {
        "healthy": _snapshots(folder, 3, 9, activation="relu"),
        "deep": _snapshots(folder, 10, 3, activation="sigmoid"),
        "large": _snapshots(folder, 6, 1, activation="relu", kernel_initializer=initializers.RandomNormal(stddev=5)),
        "fast": _snapshots(folder, 3, 2, rate=1.5, activation="tanh"),
        "dead": _snapshots(folder, 2, 1, activation="relu", bias_initializer=initializers.Constant(-50)),
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """The folder of the curves, and the snapshots of each network."""
    folder = tmp_path_factory.mktemp("curves")
    return folder, run_in_process(_all_snapshots, str(folder))


def test_deep_sigmoid_network_has_vanishing_gradients(recorded: Any) -> None:
    """Each sigmoid layer reduces the gradient by at least three quarters, so after ten almost nothing is left."""
    snapshots = recorded[1]["deep"]
    sizes = list(snapshots[0]["gradients"].values())
    assert all(first < second for first, second in itertools.pairwise(sizes))
    (found,) = diagnosis.findings(snapshots)
    assert found.startswith("vanishing gradients: that of dense is ")


def test_large_initial_weights_make_gradients_explode(recorded: Any) -> None:
    """Six layers that each enlarge values are reported before the first epoch."""
    found = diagnosis.findings(recorded[1]["large"][:1])
    assert any(text.startswith("exploding gradients: that of ") for text in found)
    assert recorded[1]["large"][0]["weights"]["dense"] == pytest.approx(5, rel=0.3)


def test_too_high_learning_rate_makes_gradients_explode(recorded: Any) -> None:
    """There is no finding before the first epoch, and one after the second."""
    snapshots = recorded[1]["fast"]
    assert diagnosis.findings(snapshots[:1]) == []
    assert any(text.startswith("exploding gradients: that of ") for text in diagnosis.findings(snapshots))


def test_dead_units_are_counted(recorded: Any) -> None:
    """A strongly negative bias makes all units of a layer dead, and those of the following layers with that bias."""
    assert recorded[1]["dead"][-1]["dead"] == {"dense": 1.0, "dense_1": 1.0}
    assert sum("dead units: 100%" in text for text in diagnosis.findings(recorded[1]["dead"])) == 2


def test_healthy_network_has_no_findings(recorded: Any) -> None:
    """There are no findings; snapshots are taken at epochs 0, 1, 2, 4 and 8; layers are named within the network."""
    snapshots = recorded[1]["healthy"]
    assert diagnosis.findings(snapshots) == []
    assert [snapshot["epoch"] for snapshot in snapshots] == [0, 1, 2, 4, 8]
    assert list(snapshots[0]["gradients"]) == ["dense", "dense_1", "dense_2", "output"]
    assert all(0 < value < math.inf for snapshot in snapshots for value in snapshot["weights"].values())


def test_gradient_statistics_are_written_for_tensorboard(recorded: Any) -> None:
    """Each layer's gradient, weight and dead share is a scalar in the event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags: set[str] = set()
    for path in recorded[0].iterdir():
        tags |= {*EventAccumulator(str(path)).Reload().Tags()["tensors"]}
    assert {"gradients/dense", "weights/output", "dead/dense_1"} <= tags
