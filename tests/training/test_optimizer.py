"""Optimizers and schedules: the rate at each batch, and what clipping, momentum and decay do to a step."""

from __future__ import annotations

import math
from typing import Any

import pytest
from workspaces import run_in_process

from tiltyard.config.train_section import DEFAULT_RATES, Train

pytestmark = pytest.mark.slow

STEPS, EPOCHS = 4, 20
SCHEDULES: dict[str, Any] = {
    "cosine": {"kind": "cosine", "floor": 0.1},
    "warm": {"kind": "cosine", "warmup": 4},
    "exponential": {"kind": "exponential", "factor": 0.9},
    "inverse": {"kind": "inverse", "decay": 0.05},
    "step": {"kind": "step", "factor": 0.1, "every": 5},
    "one_cycle": {"kind": "one_cycle", "rise": 0.25, "start": 0.1, "floor": 0.01},
    "warm_constant": {"kind": "constant", "warmup": 2},
}


def _train(**settings: Any) -> Train:
    return Train.model_validate({"epochs": EPOCHS, "learning_rate": 0.5, **settings})


def _rates(schedules: dict[str, Any]) -> dict[str, list[float]]:
    """Return the rate before each batch of all epochs; run in a process of its own."""
    from tiltyard.training.optimizer import Rate

    batches = range(STEPS * EPOCHS + 1)
    return {
        name: [float(Rate(_train(schedule=schedule), STEPS)(batch)) / 0.5 for batch in batches]
        for name, schedule in schedules.items()
    }


def test_schedules_follow_their_formulas() -> None:
    """Each schedule's share of the rate is what its formula says, at the beginning, between and at the end."""
    share = run_in_process(_rates, SCHEDULES)
    half, last = STEPS * EPOCHS // 2, STEPS * EPOCHS
    assert [share["cosine"][place] for place in (0, half, last)] == pytest.approx([1, 0.55, 0.1])
    assert share["warm"][:16] == pytest.approx([(batch + 1) / 16 for batch in range(16)])
    assert [share["warm"][place] for place in (16, 16 + 32, last)] == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert share["exponential"] == pytest.approx([0.9 ** (batch / STEPS) for batch in range(last + 1)])
    assert share["inverse"] == pytest.approx([1 / (1 + 0.05 * batch) for batch in range(last + 1)])
    assert share["step"] == pytest.approx([0.1 ** math.floor(batch / STEPS / 5) for batch in range(last + 1)])
    assert [share["one_cycle"][place] for place in (0, 20, last)] == pytest.approx([0.1, 1, 0.01])
    assert max(share["one_cycle"]) == pytest.approx(1)
    assert share["warm_constant"][7:] == pytest.approx([1.0] * (last - 6))


def _moves(settings: dict[str, Any], slopes: list[list[float]], steps: int) -> list[list[float]]:
    """Apply the same gradients to variables that start at 1, so many times; give how far each went at the last."""
    import keras
    import numpy as np

    from tiltyard.training.optimizer import optimizer

    variables = [keras.Variable(np.ones(len(slope), np.float32), name=f"kernel{i}") for i, slope in enumerate(slopes)]
    variables.append(keras.Variable(np.ones(1, np.float32), name="bias"))
    made = optimizer(_train(**settings), STEPS)
    made.build(variables)
    before = variables
    for _ in range(steps):
        before = [np.array(variable) for variable in variables]
        made.apply([keras.ops.array(slope, "float32") for slope in [*slopes, [0.0]]], variables)
    return [(np.array(now) - was).tolist() for was, now in zip(before, variables, strict=True)]


def _all_moves() -> dict[str, list[list[float]]]:
    """Try every switch on the same gradients."""
    sgd = {"optimizer": "sgd"}
    slopes = [[3.0, -4.0], [12.0]]
    return {
        "plain": _moves(sgd, slopes, 1),
        "clip_norm": _moves({**sgd, "clip_norm": 1.0}, slopes, 1),
        "clip_global_norm": _moves({**sgd, "clip_global_norm": 1.3}, slopes, 1),
        "clip_value": _moves({**sgd, "clip_value": 2.0}, slopes, 1),
        "weight_decay": _moves({**sgd, "weight_decay": 0.1}, [[0.0, 0.0], [0.0]], 1),
        "momentum": _moves({"optimizer": "momentum"}, slopes, 2),
        "less_momentum": _moves({"optimizer": "momentum", "momentum": 0.5}, slopes, 2),
        "nesterov": _moves({"optimizer": "nesterov"}, slopes, 1),
        "adadelta": _moves({"optimizer": "adadelta", "learning_rate": None}, slopes, 50),
        "keras_adadelta": _moves({"optimizer": "adadelta", "learning_rate": 0.001}, slopes, 50),
    }


def test_switches_change_a_step_as_they_say() -> None:
    """Clipping shortens what it clips and keeps directions; momentum and decay add what their formulas say."""
    moved = run_in_process(_all_moves)
    assert moved["plain"] == [pytest.approx([-1.5, 2.0]), [-6.0], [0.0]]
    assert moved["clip_norm"] == [pytest.approx([-0.3, 0.4]), pytest.approx([-0.5]), [0.0]]
    assert moved["clip_global_norm"] == [pytest.approx([-0.15, 0.2]), pytest.approx([-0.6]), [0.0]]
    assert moved["clip_value"] == [pytest.approx([-1.0, 1.0]), pytest.approx([-1.0]), [0.0]]
    assert moved["weight_decay"] == [pytest.approx([-0.05, -0.05]), pytest.approx([-0.05]), [0.0]]
    assert moved["momentum"][0] == pytest.approx([-1.5 * 1.9, 2.0 * 1.9])
    assert moved["less_momentum"][0] == pytest.approx([-1.5 * 1.5, 2.0 * 1.5])
    assert moved["nesterov"][0] == pytest.approx([-1.5 * 1.9, 2.0 * 1.9])
    assert abs(moved["adadelta"][1][0]) > 100 * abs(moved["keras_adadelta"][1][0])


def _learned(names: list[str]) -> dict[str, float]:
    """Train a small network for a few epochs at each optimizer's own rate; give the last loss over the first."""
    import keras
    import numpy as np

    from tiltyard.training.optimizer import optimizer

    x = np.random.default_rng(0).normal(size=(256, 4)).astype(np.float32)
    found = {}
    for name in names:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(1)])
        model.compile(optimizer(_train(optimizer=name, learning_rate=None), 8), "mse")
        curve = model.fit(x, x.sum(axis=1), batch_size=32, epochs=20, verbose=0).history["loss"]
        found[name] = curve[-1] / curve[0]
    return found


@pytest.mark.catalogue
def test_every_optimizer_learns_at_the_rate_it_has_if_none_is_set() -> None:
    """Twenty epochs take at least a third off the loss, whichever it is."""
    learned = run_in_process(_learned, list(DEFAULT_RATES))
    assert {name: share for name, share in learned.items() if not share < 0.67} == {}
