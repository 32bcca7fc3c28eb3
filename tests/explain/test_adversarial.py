"""Adversarial attacks, on models whose weakest direction is known."""

from __future__ import annotations

import numpy as np
import pytest
from linear_network import dense_network, view_of
from workspaces import fetch_raw, run_in_process

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.explain.math.adversarial import AdversarialAttack, PerturbationBudget, perturbation_budget
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.prepare import prepare
from tiltyard.workspace import Workspace

FREE = PerturbationBudget(np.ones(5), np.full(5, -np.inf), np.full(5, np.inf))
SIZE = 0.3


def _linear_attack() -> dict[str, Array]:
    """Attack a linear model of two labels; return the margins before and after."""
    weights = np.random.default_rng(0).normal(size=(5, 2))
    features = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    truth = np.array([0, 1, 0, 1, 0, 1], dtype=np.int32)
    network = view_of(dense_network(weights))
    attack = AdversarialAttack(network, FREE)
    perturbed = {"before": features, "at once": attack.fgsm(features, truth, SIZE)}
    perturbed["stepwise"] = attack.pgd(features, truth, SIZE)
    perturbed["random"] = attack.random_sign(features, SIZE, np.random.default_rng(0))
    results = {}
    for name, rows in perturbed.items():
        (scores,) = network.activations(rows, [network.scores])
        results[name] = scores[np.arange(6), truth] - scores[np.arange(6), 1 - truth]
    return {**results, "norm": np.abs(weights[:, 0] - weights[:, 1]).sum()}


def test_attack_on_a_linear_model_matches_the_formula() -> None:
    """FGSM and PGD lower the margin by size times the sum of absolute weights; random signs lower it by less."""
    results = run_in_process(_linear_attack)
    for name in ("at once", "stepwise"):
        np.testing.assert_allclose(results["before"] - results[name], SIZE * results["norm"], rtol=1e-4)
    assert (np.abs(results["before"] - results["random"]) <= SIZE * results["norm"] + 1e-4).all()
    assert np.abs(results["before"] - results["random"]).mean() < 0.8 * SIZE * results["norm"]


def _nonlinear_attack() -> tuple[list[Array], list[float]]:
    """Attack a network with a hidden layer, within bounds; return the rows and the losses."""
    import keras

    from tiltyard.explain.math.network_view import loss_function

    keras.utils.set_random_seed(0)
    features = keras.Input((5,))
    x = keras.layers.Dense(16, activation="tanh")(features)
    network = view_of(keras.Model(features, keras.layers.Dense(3, activation="softmax", name="output")(x)))
    rows = np.random.default_rng(1).uniform(-1, 1, (20, 5)).astype(np.float32)
    truth = network.top_outputs(rows)
    attack = AdversarialAttack(
        network, PerturbationBudget(np.array([1, 2, 0, 1, 1.0]), np.full(5, -1.0), np.full(5, 1.0))
    )
    perturbed = [attack.fgsm(rows, truth, 0.5), attack.pgd(rows, truth, 0.5)]
    loss = loss_function(network)
    return [rows, *perturbed], [float(np.asarray(loss(attacked, truth)).mean()) for attacked in (rows, *perturbed)]


def test_attacks_stay_within_step_size_and_bounds() -> None:
    """No feature moves farther than its step or out of its bounds; PGD does at least as much harm as FGSM."""
    (rows, *perturbed), losses = run_in_process(_nonlinear_attack)
    for attacked in perturbed:
        assert (np.abs(attacked - rows) <= 0.5 * np.array([1, 2, 0, 1, 1]) + 1e-6).all()
        assert np.abs(attacked).max() <= 1
    assert losses[0] < losses[1] <= losses[2] + 1e-6


@pytest.mark.parametrize(("name", "movable_features"), [("iris", 4), ("sine", 1), ("digits", 1), ("diabetes", 9)])
def test_only_measured_features_are_perturbed(workspace: Workspace, name: str, movable_features: int) -> None:
    """Numbers and series move by standard deviations, pixels by grey levels within 0 to 255; categories stay fixed."""
    fetch_raw(workspace, name)
    task = loader.load(workspace, name)
    prepare(workspace, task)
    encoder = Encoder.load(workspace.out(name, "prepare") / "encoder.json")
    budget = perturbation_budget(encoder)
    assert (budget.step > 0).sum() == movable_features
    if name == "digits":
        assert (budget.step.item(), budget.low.item(), budget.high.item()) == (1, 0, 255)
