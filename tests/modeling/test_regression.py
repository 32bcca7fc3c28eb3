"""Numbers by hand: what is learned of their scale, how they are answered and described, and pictures of errors."""

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

MISSED = np.array([5, -1, 3, 0, -9, 2, 4, -6, 7, 8, -10, 1.5])
MADE = Predictions(np.full(12, 100.0), 100 + MISSED[:, None], np.zeros((12, 1)), np.arange(12), [], "y (cm)")


def test_the_scale_of_numbers_is_learned() -> None:
    """Mean and deviation; of a logarithm also the range of answers, which ends one above the largest."""
    truth = np.array([0.0, math.e - 1, math.e**2 - 1])
    assert Regression().fit(Target(column="y"), np.array([1.0, 3.0])) == {"mean": 2, "std": 1}
    learned = Regression().fit(Target(column="y", log=True), truth)
    assert learned.pop("log") == pytest.approx([0, 3])
    assert learned == pytest.approx({"mean": 1, "std": math.sqrt(2 / 3)})


def test_a_number_is_one_output() -> None:
    """A float an instance; the schema takes any number, and names it with its unit."""
    kind = Regression()
    assert kind.units(Target(column="y"), "linear", cast("FittedEncoder", None)) == 1
    assert kind.decode(np.array([[1.5], [2.0]]), []) == [1.5, 2.0]
    schema = kind.json_schema(Target(column="y", unit="cm"))
    assert schema["description"] == "y cm"
    assert kind.json_schema(Target(column="y"))["description"] == "y"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate("1.5", schema)


def test_the_best_rows_are_as_many_as_the_worst() -> None:
    """Ten of each, from both ends of the same order."""
    told = Evaluator().details(MADE)
    ranked = sorted(MISSED.tolist(), key=lambda one: -abs(one))
    assert [one["error"] for one in told["worst"]] == ranked[:10]
    assert [one["error"] for one in told["best"]] == ranked[::-1][:10]


def test_residuals_are_predicted_minus_actual() -> None:
    """For DVC to draw, a row each, over what was predicted."""
    drawn = Evaluator().plots(MADE)["residuals"]
    assert drawn == {"predicted": (100 + MISSED).tolist(), "residual": MISSED.tolist()}


def test_points_are_compared_with_the_line_where_the_model_is_right() -> None:
    """A diagonal under predicted and actual, zero under residuals, with the target's name on the axes."""
    both, residuals, errors = Evaluator().figures(MADE)
    told: dict[str, Any] = both.data
    assert (told["diagonal"], told["x"], told["y"]) == (True, "Predicted y (cm)", "Actual y (cm)")
    assert (residuals.data["level"], residuals.data["x"]) == (0, "Predicted y (cm)")
    assert errors.text == f"Predicted minus actual, by test rows; {MISSED.mean():.3g} on average."
    assert [one.title for one in compared(MADE.truth, MADE.outputs[:, 0], "y")] == [
        "Predicted and actual",
        "Residuals",
        "Errors",
    ]
