"""Tests of attacks, on models whose weakest direction is known."""

from __future__ import annotations

import numpy as np
import pytest
from linear_network import dense_network, view_of
from workspaces import fetch_raw, run_in_process

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.explain.math.adversarial import AdversarialAttack, PerturbationBudget, room
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.prepare import prepare
from tiltyard.workspace import Workspace

FREE = PerturbationBudget(np.ones(5), np.full(5, -np.inf), np.full(5, np.inf))
SIZE = 0.3


def _linear_attack() -> dict[str, Array]:
    """Attack two labels that a linear model tells apart."""
    weights = np.random.default_rng(0).normal(size=(5, 2))
    features = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    truth = np.array([0, 1, 0, 1, 0, 1], dtype=np.int32)
    inside = view_of(dense_network(weights))
    attack = AdversarialAttack(inside, FREE)
    moved = {"before": features, "at once": attack.at_once(features, truth, SIZE)}
    moved["stepwise"] = attack.stepwise(features, truth, SIZE)
    moved["random"] = attack.at_random(features, SIZE, np.random.default_rng(0))
    found = {}
    for name, rows in moved.items():
        (scores,) = inside.see(rows, [inside.scores])
        found[name] = scores[np.arange(6), truth] - scores[np.arange(6), 1 - truth]
    return {**found, "norm": np.abs(weights[:, 0] - weights[:, 1]).sum()}


def test_an_attack_takes_all_that_a_linear_margin_has() -> None:
    """The margin falls by size times the sum of absolute weights, in one step and in several; by chance by less."""
    found = run_in_process(_linear_attack)
    for name in ("at once", "stepwise"):
        np.testing.assert_allclose(found["before"] - found[name], SIZE * found["norm"], rtol=1e-4)
    assert (np.abs(found["before"] - found["random"]) <= SIZE * found["norm"] + 1e-4).all()
    assert np.abs(found["before"] - found["random"]).mean() < 0.8 * SIZE * found["norm"]


def _bent_attack() -> tuple[list[Array], list[float]]:
    """Attack a network with a hidden layer, within bounds, and say how much it misses by then."""
    import keras

    from tiltyard.explain.math.network_view import missed

    keras.utils.set_random_seed(0)
    features = keras.Input((5,))
    x = keras.layers.Dense(16, activation="tanh")(features)
    inside = view_of(keras.Model(features, keras.layers.Dense(3, activation="softmax", name="output")(x)))
    rows = np.random.default_rng(1).uniform(-1, 1, (20, 5)).astype(np.float32)
    truth = inside.answers(rows)
    attack = AdversarialAttack(
        inside, PerturbationBudget(np.array([1, 2, 0, 1, 1.0]), np.full(5, -1.0), np.full(5, 1.0))
    )
    moved = [attack.at_once(rows, truth, 0.5), attack.stepwise(rows, truth, 0.5)]
    loss = missed(inside)
    return [rows, *moved], [float(np.asarray(loss(one, truth)).mean()) for one in (rows, *moved)]


def test_attacks_stay_in_the_ball_and_in_the_bounds() -> None:
    """No feature goes farther than its step, or out of its bounds; several steps harm at least as much as one."""
    (rows, *moved), losses = run_in_process(_bent_attack)
    for one in moved:
        assert (np.abs(one - rows) <= 0.5 * np.array([1, 2, 0, 1, 1]) + 1e-6).all()
        assert np.abs(one).max() <= 1
    assert losses[0] < losses[1] <= losses[2] + 1e-6


@pytest.mark.parametrize(("name", "moves"), [("iris", 4), ("sine", 1), ("digits", 1), ("diabetes", 9)])
def test_what_is_measured_can_move(workspace: Workspace, name: str, moves: int) -> None:
    """Numbers and series move by deviations, pixels by steps within 0 to 255; what is told by name stays."""
    fetch_raw(workspace, name)
    task = loader.load(workspace, name)
    prepare(workspace, task)
    encoder = Encoder.load(workspace.out(name, "prepare") / "encoder.json")
    found = room(encoder)
    assert (found.unit > 0).sum() == moves
    if name == "digits":
        assert (found.unit.item(), found.low.item(), found.high.item()) == (1, 0, 255)
