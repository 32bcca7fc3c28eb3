"""Forecasts by hand: the naive error, the table of steps, worst rows and figures, for one and several steps."""

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
ERRORS = np.array([[3.0, 0.0, -2.0], [4.0, 1.0, 0.0]])
# Positions of the truth: inside, on the lower end, on the upper end; below, above, inside.
LOW = TRUTH + np.array([[-1, 0, -5], [1, -9, -1]])
HIGH = TRUTH + np.array([[1, 5, 0], [2, -1, 1]])


def evaluate_steps(steps: int, *, with_interval: bool) -> Predictions:
    """Return predictions for the first steps of the two rows, which are rows 7 and 8 of the raw data."""
    truth, value = TRUTH[:, :steps], (TRUTH + ERRORS)[:, :steps]
    outputs = np.stack([value, LOW[:, :steps], HIGH[:, :steps]], axis=1) if with_interval else value
    one = steps == 1 and not with_interval
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
def test_naive_error_uses_the_previous_value(train: Array, naive: float) -> None:
    """It is the mean over all steps, and 1 if the series is constant, since errors are divided by it."""
    assert Evaluator().context(train) == {"naive_mae": pytest.approx(naive)}


def test_network_has_one_output_per_step() -> None:
    """The number of outputs equals the horizon."""
    assert Forecasting().units(Target(column="y", horizon=7), "linear", cast("FittedEncoder", None)) == 7


@pytest.mark.parametrize(("steps", "with_interval"), [(1, True), (3, False), (3, True)])
def test_each_step_has_its_own_metrics(steps: int, with_interval: bool) -> None:
    """Each step has the errors of model and baseline, and the share of truths within the interval."""
    expected = [
        {"step": 1, "rmse": np.sqrt((9 + 16) / 2), "baseline": 1, "coverage": 0.5},
        {"step": 2, "rmse": np.sqrt(1 / 2), "baseline": 2, "coverage": 0.5},
        {"step": 3, "rmse": np.sqrt(4 / 2), "baseline": 3, "coverage": 1.0},
    ]
    details = Evaluator().details(evaluate_steps(steps, with_interval=with_interval))["by_step"]
    columns = [{name: value for name, value in one.items() if with_interval or name != "coverage"} for one in expected]
    assert [dict(one) for one in details] == [pytest.approx(one) for one in columns[:steps]]


def test_single_step_has_no_table_of_steps() -> None:
    """Worst rows do not name the step: row 8 has an error of 4, row 7 of 3."""
    details = Evaluator().details(evaluate_steps(1, with_interval=False))
    assert {*details} == {"worst", "best"}
    assert [(one["row"], one["error"], "step" in one) for one in details["worst"]] == [(8, 4, False), (7, 3, False)]


@pytest.mark.parametrize("with_interval", [False, True])
def test_worst_and_best_forecasts_name_row_and_step(with_interval: bool) -> None:
    """Six forecasts are sorted by error: 4 in row 8, then 3 and -2 in row 7; the best have an error of 0."""
    details = Evaluator().details(evaluate_steps(3, with_interval=with_interval))
    errors = [(one["row"], one["step"], one["error"]) for one in details["worst"]]
    assert errors == [(8, 1, 4), (7, 1, 3), (7, 3, -2), (8, 2, 1), (7, 2, 0), (8, 3, 0)]
    assert [(one["row"], one["step"], one["error"]) for one in details["best"]] == errors[::-1]
    assert details["worst"][0] == {"row": 8, "step": 1, "actual": 11, "predicted": 15, "error": 4}


@pytest.mark.parametrize("with_interval", [False, True])
def test_forecast_plot_shows_the_first_step(with_interval: bool) -> None:
    """The other plots show the errors by step, and the residuals of all steps."""
    plots = Evaluator().plots(evaluate_steps(3, with_interval=with_interval))
    assert plots["forecast"] == {"row": [7, 8], "actual": [10, 11], "forecast": [13, 15], "baseline": [9, 10]}
    assert plots["steps"]["step"] == [1, 2, 3]
    assert ("coverage" in plots["steps"]) is with_interval
    assert plots["residuals"] == {"predicted": [13, 20, 28, 15, 22, 31], "residual": [3, 0, -2, 4, 1, 0]}


@pytest.mark.parametrize("with_interval", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
def test_forecast_figures_by_hand(steps: int, with_interval: bool) -> None:
    """Actual values, forecast, baseline and interval of the first step; errors by step if there are several."""
    shown = {one.title: one for one in Evaluator().figures(evaluate_steps(steps, with_interval=with_interval))}
    several = ["Error by step"] if steps > 1 or with_interval else []
    assert [*shown] == ["Forecast", *several, "Predicted and actual", "Residuals", "Errors"]
    time_plot: dict[str, Any] = shown["Forecast"].data
    assert [(one["name"], one["y"], one.get("dashed")) for one in time_plot["lines"]] == [
        ("actual", [10, 11], None),
        ("forecast", [13, 15], None),
        ("baseline", [9, 10], True),
    ]
    band = {"x": [0, 1], "low": [9, 12], "high": [11, 13]} if with_interval else None
    assert time_plot.get("band") == band
    flat = (TRUTH + ERRORS)[:, :steps].ravel().tolist()
    assert shown["Predicted and actual"].data["groups"][0]["x"] == flat
    if several:
        lines = shown["Error by step"].data
        assert [(one["x"], one.get("dashed")) for one in lines["lines"]] == [
            ([*range(1, steps + 1)], d) for d in (None, True)
        ]
        assert lines["lines"][0]["y"][0] == pytest.approx(np.sqrt(12.5), rel=1e-5)
        assert lines["lines"][1]["y"] == [1, 2, 3][:steps]
        assert lines["zero"] is True
