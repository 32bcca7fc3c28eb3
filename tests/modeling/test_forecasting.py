"""Forecasts by hand: the naive error, the table of steps, worst rows and pictures, for one step and several."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators.forecasting import LEAST
from tiltyard.modeling.evaluators.forecasting import Forecasting as Evaluator
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import FittedEncoder, Target
from tiltyard.modeling.problems.forecasting import Forecasting

# Two rows of three steps. The forecast misses by 3 and 4 in the first step, by 0 and 1 in the second, by -2 and 0 in
# the third; the baseline by 1, 2 and 3.
TRUTH = np.array([[10.0, 20.0, 30.0], [11.0, 21.0, 31.0]])
MISSED = np.array([[3.0, 0.0, -2.0], [4.0, 1.0, 0.0]])
# Truths lie: between, on the lower end, on the upper end; below, above, between.
LOW = TRUTH + np.array([[-1, 0, -5], [1, -9, -1]])
HIGH = TRUTH + np.array([[1, 5, 0], [2, -1, 1]])


def made(steps: int, *, ends: bool) -> Predictions:
    """Return as many steps of the two rows, which are the rows 7 and 8 of the raw data."""
    truth, value = TRUTH[:, :steps], (TRUTH + MISSED)[:, :steps]
    outputs = np.stack([value, LOW[:, :steps], HIGH[:, :steps]], axis=1) if ends else value
    one = steps == 1 and not ends
    return Predictions(
        truth[:, 0] if one else truth, outputs, (TRUTH - [1, 2, 3])[:, :steps], np.array([7, 8]), [], "y"
    )


@pytest.mark.parametrize(
    ("train", "naive"),
    [
        (np.array([1.0, 3.0, 2.0]), 1.5),
        (np.array([1.0, 3.0]), 2.0),
        (np.array([[1.0, 5.0], [3.0, 9.0]]), 3.0),
        (np.array([5.0]), 1.0),
        (np.array([5.0, 5.0, 5.0]), 1.0),
        (np.array([0.0, LEAST]), 1.0),
        (np.array([0.0, 3 * LEAST]), 3 * LEAST),
    ],
)
def test_the_naive_error_is_that_of_the_value_before(train: Array, naive: float) -> None:
    """On the mean over all steps; 1 where there is no change to measure, so that errors can be divided by it."""
    assert Evaluator().context(train) == {"naive_mae": pytest.approx(naive)}


def test_the_network_has_an_output_a_step() -> None:
    """As many as the horizon."""
    assert Forecasting().units(Target(column="y", horizon=7), "linear", cast("FittedEncoder", None)) == 7


@pytest.mark.parametrize(("steps", "ends"), [(1, True), (3, False), (3, True)])
def test_each_step_is_measured_by_itself(steps: int, ends: bool) -> None:
    """Its number, the errors of model and baseline, and the share of truths between the ends or on one."""
    expected = [
        {"step": 1, "rmse": np.sqrt((9 + 16) / 2), "baseline": 1, "between_ends": 0.5},
        {"step": 2, "rmse": np.sqrt(1 / 2), "baseline": 2, "between_ends": 0.5},
        {"step": 3, "rmse": np.sqrt(4 / 2), "baseline": 3, "between_ends": 1.0},
    ]
    told = Evaluator().details(made(steps, ends=ends))["by_step"]
    wanted = [{name: value for name, value in one.items() if ends or name != "between_ends"} for one in expected]
    assert [dict(one) for one in told] == [pytest.approx(one) for one in wanted[:steps]]


def test_one_step_without_ends_has_no_table_of_steps() -> None:
    """Nor do its worst rows name the step: row 8 is missed by 4, row 7 by 3."""
    told = Evaluator().details(made(1, ends=False))
    assert {*told} == {"worst", "best"}
    assert [(one["row"], one["error"], "step" in one) for one in told["worst"]] == [(8, 4, False), (7, 3, False)]


@pytest.mark.parametrize("ends", [False, True])
def test_worst_and_best_forecasts_name_row_and_step(ends: bool) -> None:
    """Of six forecasts that by 4 in row 8, then by 3 and by -2 in row 7; the best are those that miss by nothing."""
    told = Evaluator().details(made(3, ends=ends))
    places = [(one["row"], one["step"], one["error"]) for one in told["worst"]]
    assert places == [(8, 1, 4), (7, 1, 3), (7, 3, -2), (8, 2, 1), (7, 2, 0), (8, 3, 0)]
    assert [(one["row"], one["step"], one["error"]) for one in told["best"]] == places[::-1]
    assert told["worst"][0] == {"row": 8, "step": 1, "actual": 11, "predicted": 15, "error": 4}


@pytest.mark.parametrize("ends", [False, True])
def test_the_plot_in_time_is_of_the_first_step(ends: bool) -> None:
    """Beside it the errors by step, and the residuals of all steps."""
    drawn = Evaluator().plots(made(3, ends=ends))
    assert drawn["forecast"] == {"row": [7, 8], "actual": [10, 11], "forecast": [13, 15], "baseline": [9, 10]}
    assert drawn["steps"]["step"] == [1, 2, 3]
    assert ("between_ends" in drawn["steps"]) is ends
    assert drawn["residuals"] == {"predicted": [13, 20, 28, 15, 22, 31], "residual": [3, 0, -2, 4, 1, 0]}


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_pictures_of_forecasts_by_hand(steps: int, ends: bool) -> None:
    """What came, the forecast, the dashed baseline and the band of the first step; errors by step if there are more."""
    shown = {one.title: one for one in Evaluator().figures(made(steps, ends=ends))}
    several = ["Error by step"] if steps > 1 or ends else []
    assert [*shown] == ["Forecast", *several, "Predicted and actual", "Residuals", "Errors"]
    course: dict[str, Any] = shown["Forecast"].data
    assert [(one["name"], one["y"], one.get("dashed")) for one in course["lines"]] == [
        ("actual", [10, 11], None),
        ("forecast", [13, 15], None),
        ("baseline", [9, 10], True),
    ]
    band = {"x": [0, 1], "low": [9, 12], "high": [11, 13]} if ends else None
    assert course.get("band") == band
    flat = (TRUTH + MISSED)[:, :steps].ravel().tolist()
    assert shown["Predicted and actual"].data["groups"][0]["x"] == flat
    if several:
        lines = shown["Error by step"].data
        assert [(one["x"], one.get("dashed")) for one in lines["lines"]] == [
            ([*range(1, steps + 1)], d) for d in (None, True)
        ]
        assert lines["lines"][0]["y"][0] == pytest.approx(np.sqrt(12.5), rel=1e-5)
        assert lines["lines"][1]["y"] == [1, 2, 3][:steps]
        assert lines["zero"] is True
