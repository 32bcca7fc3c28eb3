"""Threshold units: Rosenblatt's rule learns what a line separates, and the gates of McCulloch and Pitts are exact."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import yaml
from workspaces import ROOT

from tiltyard.arrays import Array
from tiltyard.data.sources.truth_table import FUNCTIONS
from tiltyard.modeling.models._solved import Part, Solution, Steps
from tiltyard.modeling.models.mcculloch_pitts import MccullochPitts, refuse_misfit
from tiltyard.modeling.models.rosenblatt import INITIAL, Rosenblatt, epoch


def table(function: str) -> Part:
    """Return the truth table of a function."""
    inputs, compute = FUNCTIONS[function]
    rows = [*product((0, 1), repeat=len(inputs))]
    return np.array(rows, dtype=float), np.array([[float(compute(*row))] for row in rows])


def learned(function: str, seed: int, count: int = 10) -> Solution:
    """Apply the rule to a truth table."""
    part = table(function)
    return Rosenblatt.model_validate({"family": "rosenblatt"}).solve(part, part, Steps(0.5, count, seed))


def fired(rows: Array, solution: Solution) -> list[bool]:
    """Return the outputs in the precision in which they are served."""
    weights, bias = solution.weights.astype(np.float32), solution.bias.astype(np.float32)
    outputs: list[bool] = (rows.astype(np.float32) @ weights + bias >= 0)[:, 0].tolist()
    return outputs


@pytest.mark.parametrize("function", ["and", "or", "a_not_b", "buffer"])
def test_rule_learns_every_separable_function_for_every_seed(function: str) -> None:
    """At a rate of 0.5, ten epochs suffice for a thousand seeds."""
    rows, targets = table(function)
    for seed in range(1000):
        solution = learned(function, seed)
        assert fired(rows, solution) == (targets[:, 0] == 1).tolist(), seed
        assert solution.facts["outcome"] == "separated", seed


@pytest.mark.parametrize("function", ["and", "or"])
def test_ten_epochs_suffice_from_any_initial_weights(function: str) -> None:
    """Also from the corners of the range of initial weights, where most seeds do not come."""
    rows, targets = table(function)
    with_one = np.column_stack([np.ones(len(rows)), rows])
    for corner in product((-INITIAL, -0.25, 0.0, 0.25, INITIAL), repeat=3):
        weights, mistakes = np.array(corner), 1
        for _ in range(10):
            weights, mistakes = epoch(with_one, targets[:, 0], weights, 0.5)
        assert mistakes == 0, corner


def test_rule_never_ends_for_xor() -> None:
    """For every seed the weights return to earlier ones: a deterministic rule then repeats for ever."""
    for seed in range(200):
        solution = learned("xor", seed, count=30)
        assert solution.facts["outcome"] == "cycle", seed
        assert min(solution.history["loss"]) >= 0.25, seed


def test_no_unit_computes_xor() -> None:
    """Sums of opposite corners are equal, so no weights and threshold separate them: none of a fine grid does."""
    rows, targets = table("xor")
    steps = np.linspace(-2, 2, 21)
    weights = np.array([*product(steps, repeat=3)])
    outputs = np.column_stack([np.ones(4), rows]) @ weights.T >= 0
    assert (outputs == (targets == 1)).sum(axis=0).max() == 3


def test_a_mistake_moves_the_weights_towards_the_row() -> None:
    """One row: a missed 1 adds rate times the row with its leading 1; a wrong 1 subtracts it; a right one nothing."""
    row = np.array([[1.0, 0.0, 1.0]])
    moved, mistakes = epoch(row, np.array([1.0]), np.array([-1.0, 0.0, 0.0]), 0.5)
    assert (moved.tolist(), mistakes) == ([-0.5, 0.0, 0.5], 1)
    moved, mistakes = epoch(row, np.array([0.0]), np.array([0.0, 0.0, 0.0]), 0.5)
    assert (moved.tolist(), mistakes) == ([-0.5, 0.0, -0.5], 1)
    assert epoch(row, np.array([1.0]), np.zeros(3), 0.5)[1] == 0


@pytest.mark.parametrize("task", ["logic_and_units", "logic_or_units", "logic_a_not_b", "logic_buffer"])
def test_units_of_the_tasks_compute_their_function(task: str) -> None:
    """The last layer is the whole network: its weights and threshold give every row of the table."""
    content = yaml.safe_load((ROOT / "tasks" / f"{task}.yaml").read_text(encoding="utf-8"))
    model = MccullochPitts.model_validate(content["model"])
    part = table(content["source"]["function"])
    solution = model.solve(part, part, Steps(0.5, 1, 0))
    assert fired(part[0], solution) == (part[1][:, 0] == 1).tolist()
    assert solution.history == {"loss": [0.0], "val_loss": [0.0]}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([[{"weights": [1, 1], "threshold": 1}] * 2], "expected one unit in the last layer; received 2"),
        ([[{"weights": [1], "threshold": 1}]], "expected 2 weights for a unit of layer 1; received 1"),
        (
            [[{"weights": [1, 1], "threshold": 1}], [{"weights": [1, 1], "threshold": 1}]],
            "expected 1 weights for a unit of layer 2; received 2",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers: list[Any], message: str) -> None:
    """The number of weights must be that of the inputs, and the output is one unit."""
    with pytest.raises(ValueError, match=message):
        refuse_misfit(MccullochPitts.model_validate({"family": "mcculloch_pitts", "layers": layers}).layers, 2)
