"""Vital signs: gradients that vanish or explode and units that died, in networks made to be ill."""

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


def _looked(folder: str, depth: int, epochs: int, rate: float = 0.01, **dense: Any) -> list[dict[str, Any]]:
    """Train a network of equal layers on a round boundary, and give what was seen; in a process of its own."""
    import keras
    from tensorboard.summary import Writer

    from tiltyard.training.gradient_stats import GradientStats

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(128, 4)).astype(np.float32)
    y = (np.square(x).sum(axis=1, keepdims=True) > 4).astype(np.float32)
    features = hidden = keras.Input((4,), name="features")
    for _ in range(depth):
        hidden = keras.layers.Dense(16, **dense)(hidden)
    model = keras.Model(features, keras.layers.Dense(1, name="output")(hidden))
    model.compile(keras.optimizers.SGD(rate), "mse")
    vitals = GradientStats(model, "mse", (x[:64], y[:64]), Writer(folder))
    model.fit(x, y, epochs=epochs, callbacks=[vitals], verbose=0)
    vitals.writer.close()
    return vitals.snapshots


def _all(folder: str) -> dict[str, list[dict[str, Any]]]:
    """Look at a healthy network and at four ill ones."""
    from keras import initializers

    return {
        "healthy": _looked(folder, 3, 9, activation="relu"),
        "deep": _looked(folder, 10, 3, activation="sigmoid"),
        "large": _looked(folder, 6, 1, activation="relu", kernel_initializer=initializers.RandomNormal(stddev=5)),
        "fast": _looked(folder, 3, 2, rate=1.5, activation="tanh"),
        "dead": _looked(folder, 2, 1, activation="relu", bias_initializer=initializers.Constant(-50)),
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[dict[str, Any]]]]:
    """What was seen of each network, and the folder of its curves."""
    folder = tmp_path_factory.mktemp("curves")
    return folder, run_in_process(_all, str(folder))


def test_a_deep_net_of_sigmoids_has_vanishing_gradients(seen: Any) -> None:
    """Each sigmoid layer takes three quarters of the gradient and more: ten of them leave the first one nothing."""
    looks = seen[1]["deep"]
    sizes = list(looks[0]["gradients"].values())
    assert all(first < second for first, second in itertools.pairwise(sizes))
    (found,) = diagnosis.findings(looks)
    assert found.startswith("vanishing gradients: that of dense is ")


def test_large_initial_weights_make_gradients_explode(seen: Any) -> None:
    """Six layers that each make numbers larger: named already before the first epoch."""
    found = diagnosis.findings(seen[1]["large"][:1])
    assert any(text.startswith("exploding gradients: that of ") for text in found)
    assert seen[1]["large"][0]["weights"]["dense"] == pytest.approx(5, rel=0.3)


def test_a_rate_far_too_high_makes_gradients_explode(seen: Any) -> None:
    """What was sound before the first epoch is named after the second."""
    looks = seen[1]["fast"]
    assert diagnosis.findings(looks[:1]) == []
    assert any(text.startswith("exploding gradients: that of ") for text in diagnosis.findings(looks))


def test_units_that_never_fire_are_counted(seen: Any) -> None:
    """A bias far below zero kills a layer; each one behind it that has the same is dead, too."""
    assert seen[1]["dead"][-1]["dead"] == {"dense": 1.0, "dense_1": 1.0}
    assert sum("dead units: 100%" in text for text in diagnosis.findings(seen[1]["dead"])) == 2


def test_a_healthy_net_is_said_to_be_so(seen: Any) -> None:
    """Nothing is found; looks are at epochs 0, 1, 2, 4, 8; names count within the network."""
    looks = seen[1]["healthy"]
    assert diagnosis.findings(looks) == []
    assert [look["epoch"] for look in looks] == [0, 1, 2, 4, 8]
    assert list(looks[0]["gradients"]) == ["dense", "dense_1", "dense_2", "output"]
    assert all(0 < value < math.inf for look in looks for value in look["weights"].values())


def test_vital_signs_are_curves_for_tensorboard(seen: Any) -> None:
    """Each layer's gradient, weight and dead share is a scalar in the event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags: set[str] = set()
    for path in seen[0].iterdir():
        tags |= {*EventAccumulator(str(path)).Reload().Tags()["tensors"]}
    assert {"gradients/dense", "weights/output", "dead/dense_1"} <= tags
