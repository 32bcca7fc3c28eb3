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
    "multi_cycle": {"kind": "multi_cycle", "cycles": 2},
    "warm_constant": {"kind": "constant", "warmup": 2},
}


def _train(**settings: Any) -> Train:
    return Train.model_validate({"epochs": EPOCHS, "learning_rate": 0.5, **settings})


def _rates(schedules: dict[str, Any]) -> dict[str, list[float]]:
    """Return the rate before each batch of all epochs; runs in a separate process."""
    from tiltyard.training.optimizer import Rate

    batches = range(STEPS * EPOCHS + 1)
    return {
        name: [float(Rate(_train(schedule=schedule), STEPS)(batch)) / 0.5 for batch in batches]
        for name, schedule in schedules.items()
    }


def test_schedules_follow_their_formulas() -> None:
    """Each schedule has the share of the rate given by its formula at the beginning, between and at the end."""
    share = run_in_process(_rates, SCHEDULES)
    half, last = STEPS * EPOCHS // 2, STEPS * EPOCHS
    assert [share["cosine"][index] for index in (0, half, last)] == pytest.approx([1, 0.55, 0.1])
    assert share["warm"][:16] == pytest.approx([(batch + 1) / 16 for batch in range(16)])
    assert [share["warm"][index] for index in (16, 16 + 32, last)] == pytest.approx([1, 0.5, 0], abs=1e-6)
    assert share["exponential"] == pytest.approx([0.9 ** (batch / STEPS) for batch in range(last + 1)])
    assert share["inverse"] == pytest.approx([1 / (1 + 0.05 * batch) for batch in range(last + 1)])
    assert share["step"] == pytest.approx([0.1 ** math.floor(batch / STEPS / 5) for batch in range(last + 1)])
    assert [share["one_cycle"][index] for index in (0, 20, last)] == pytest.approx([0.1, 1, 0.01])
    assert max(share["one_cycle"]) == pytest.approx(1)
    # two cycles: log2(1 + 3 t) is 0.5, 1 and 1.5 at these batches of 80
    first, second = ((2**half - 1) / 3 * last for half in (0.5, 1.5))
    cycles = share["multi_cycle"]
    assert [cycles[round(batch)] for batch in (0, first, last / 3, second, last)] == pytest.approx(
        [0, 1, 0, 1, 0], abs=0.01
    )
    assert share["warm_constant"][7:] == pytest.approx([1.0] * (last - 6))


def _updates(settings: dict[str, Any], gradients: list[list[float]], steps: int) -> list[list[float]]:
    """Apply the same gradients several times to variables that start at 1; return the last update of each."""
    import keras
    import numpy as np

    from tiltyard.training.optimizer import optimizer

    variables = [
        keras.Variable(np.ones(len(gradient), np.float32), name=f"kernel{i}") for i, gradient in enumerate(gradients)
    ]
    variables.append(keras.Variable(np.ones(1, np.float32), name="bias"))
    made = optimizer(_train(**settings), STEPS)
    made.build(variables)
    before = variables
    for _ in range(steps):
        before = [np.array(variable) for variable in variables]
        made.apply([keras.ops.array(gradient, "float32") for gradient in [*gradients, [0.0]]], variables)
    return [(np.array(now) - was).tolist() for was, now in zip(before, variables, strict=True)]


def _all_updates() -> dict[str, list[list[float]]]:
    """Return the updates of every setting on the same gradients."""
    sgd = {"optimizer": "sgd"}
    gradients = [[3.0, -4.0], [12.0]]
    return {
        "plain": _updates(sgd, gradients, 1),
        "clip_norm": _updates({**sgd, "clip_norm": 1.0}, gradients, 1),
        "clip_global_norm": _updates({**sgd, "clip_global_norm": 1.3}, gradients, 1),
        "clip_value": _updates({**sgd, "clip_value": 2.0}, gradients, 1),
        "weight_decay": _updates({**sgd, "weight_decay": 0.1}, [[0.0, 0.0], [0.0]], 1),
        "momentum": _updates({"optimizer": "momentum"}, gradients, 2),
        "less_momentum": _updates({"optimizer": "momentum", "momentum": 0.5}, gradients, 2),
        "nesterov": _updates({"optimizer": "nesterov"}, gradients, 1),
        "adadelta": _updates({"optimizer": "adadelta", "learning_rate": None}, gradients, 50),
        "keras_adadelta": _updates({"optimizer": "adadelta", "learning_rate": 0.001}, gradients, 50),
    }


def test_settings_change_an_update_as_documented() -> None:
    """Clipping shortens gradients and keeps their direction; momentum and decay follow their formulas."""
    updates = run_in_process(_all_updates)
    assert updates["plain"] == [pytest.approx([-1.5, 2.0]), [-6.0], [0.0]]
    assert updates["clip_norm"] == [pytest.approx([-0.3, 0.4]), pytest.approx([-0.5]), [0.0]]
    assert updates["clip_global_norm"] == [pytest.approx([-0.15, 0.2]), pytest.approx([-0.6]), [0.0]]
    assert updates["clip_value"] == [pytest.approx([-1.0, 1.0]), pytest.approx([-1.0]), [0.0]]
    assert updates["weight_decay"] == [pytest.approx([-0.05, -0.05]), pytest.approx([-0.05]), [0.0]]
    assert updates["momentum"][0] == pytest.approx([-1.5 * 1.9, 2.0 * 1.9])
    assert updates["less_momentum"][0] == pytest.approx([-1.5 * 1.5, 2.0 * 1.5])
    assert updates["nesterov"][0] == pytest.approx([-1.5 * 1.9, 2.0 * 1.9])
    assert abs(updates["adadelta"][1][0]) > 100 * abs(updates["keras_adadelta"][1][0])


def _loss_ratios(names: list[str]) -> dict[str, float]:
    """Train a small network at each optimizer's default rate; return the last loss divided by the first."""
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
def test_every_optimizer_learns_at_its_default_rate() -> None:
    """Twenty epochs reduce the loss of any optimizer by at least a third."""
    loss_ratios = run_in_process(_loss_ratios, list(DEFAULT_RATES))
    assert {name: share for name, share in loss_ratios.items() if not share < 0.67} == {}
