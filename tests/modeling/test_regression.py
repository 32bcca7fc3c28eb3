"""Regression by hand: scaling, predictions and their schema, and figures of errors."""

from __future__ import annotations

import math
from typing import Any, cast

import jsonschema
import numpy as np
import pytest

from tiltyard.modeling.evaluators.regression import Regression as Evaluator
from tiltyard.modeling.evaluators.regression import compared
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import FittedEncoder, Target
from tiltyard.modeling.problems.regression import Regression

ERRORS = np.array([5, -1, 3, 0, -9, 2, 4, -6, 7, 8, -10, 1.5])
EVALUATED = Predictions(np.full(12, 100.0), 100 + ERRORS[:, None], np.zeros((12, 1)), np.arange(12), [], "y (cm)")


def test_target_scaling_is_learned() -> None:
    """Mean and deviation are learned; with a logarithm also the range, which ends one above the largest value."""
    truth = np.array([0.0, math.e - 1, math.e**2 - 1])
    assert Regression().fit(Target(column="y"), np.array([1.0, 3.0])) == {"mean": 2, "std": 1}
    learned = Regression().fit(Target(column="y", log=True), truth)
    assert learned.pop("log") == pytest.approx([0, 3])
    assert learned == pytest.approx({"mean": 1, "std": math.sqrt(2 / 3)})


def test_network_has_one_output() -> None:
    """A prediction is a number; the schema accepts numbers, and names the target and its unit."""
    kind = Regression()
    assert kind.units(Target(column="y"), "linear", cast("FittedEncoder", None)) == 1
    assert kind.decode(np.array([[1.5], [2.0]]), []) == [1.5, 2.0]
    schema = kind.json_schema(Target(column="y", unit="cm"))
    assert schema["description"] == "y cm"
    assert kind.json_schema(Target(column="y"))["description"] == "y"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate("1.5", schema)


def test_ten_best_and_ten_worst_rows() -> None:
    """Both are from the same order."""
    details = Evaluator().details(EVALUATED)
    ranked = sorted(ERRORS.tolist(), key=lambda one: -abs(one))
    assert [one["error"] for one in details["worst"]] == ranked[:10]
    assert [one["error"] for one in details["best"]] == ranked[::-1][:10]


def test_residuals_are_predicted_minus_actual() -> None:
    """The plot for DVC has one point per row, over the predicted value."""
    plot = Evaluator().plots(EVALUATED)["residuals"]
    assert plot == {"predicted": (100 + ERRORS).tolist(), "residual": ERRORS.tolist()}


def test_figures_have_reference_lines() -> None:
    """The diagonal and zero mark perfect predictions; axes have the name of the target."""
    both, residuals, errors = Evaluator().figures(EVALUATED)
    figure_data: dict[str, Any] = both.data
    assert (figure_data["diagonal"], figure_data["x"], figure_data["y"]) == (True, "Predicted y (cm)", "Actual y (cm)")
    assert (residuals.data["level"], residuals.data["x"]) == (0, "Predicted y (cm)")
    assert errors.text == f"Predicted minus actual, by test rows; {ERRORS.mean():.3g} on average."
    assert [one.title for one in compared(EVALUATED.truth, EVALUATED.outputs[:, 0], "y")] == [
        "Predicted and actual",
        "Residuals",
        "Errors",
    ]
