"""Every evaluator plug-in: perfect predictions score perfect, the baseline does what arithmetic says, all is finite."""

from __future__ import annotations

import json

import numpy as np
import pytest
from problem_cases import CLASSES, case, problem

from tiltyard import plugins
from tiltyard.arrays import Array, Rows
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics.predictions import Predictions

PERFECT = {
    "rmse": 0,
    "mae": 0,
    "mase": 0,
    "log_loss": 0,
    "bits": 0,
    "error_rate": 0,
    "brier": 0,
    "calibration_error": 0,
}  # 1 for all others


def evaluator(name: str) -> Evaluator:
    """Make the plug-in."""
    made: Evaluator = plugins.load("evaluators", name)()
    return made


def spoiled(name: str, outputs: Array, place: int) -> Array:
    """Make one row much worse."""
    outputs = outputs.copy()
    if outputs.dtype.names:
        outputs[place] = ("oops", 0.0, 4.0, 4.0)
    elif name == "generation":
        outputs[place] = 50.0, 0.0, 4.0
    else:
        outputs[place] = np.roll(outputs[place], 1) if name == "classification" else outputs[place] + 50
    return outputs


def predictions(kind: Evaluator, outputs: Array, truth: Array, rows: Rows) -> Predictions:
    """Put outputs beside the baseline's."""
    numbers = np.arange(len(truth)) + 100
    return Predictions(truth, outputs, kind.baseline(truth, rows, "rmse"), numbers, CLASSES, "y (cm)")


def test_perfect_predictions_score_perfect(evaluator_name: str) -> None:
    """The truth itself gets the best value of every metric."""
    kind = evaluator(evaluator_name)
    truth, outputs, _ = case(problem(evaluator_name))
    scores = kind.scores(truth, outputs, kind.context(truth))
    assert scores == pytest.approx({name: PERFECT.get(name, 1) for name in kind.metrics})


def test_only_forecasts_need_something_of_the_training_targets(evaluator_name: str) -> None:
    """Their naive error, by which others are divided; the metrics of all other problems stand alone."""
    truth, _, _ = case(problem(evaluator_name))
    needed = [*evaluator(evaluator_name).context(truth)]
    assert needed == (["naive_mae"] if evaluator_name == "forecasting" else [])


def test_a_better_score_is_a_gain(evaluator_name: str) -> None:
    """Perfect predictions gain over the baseline in every metric, and the baseline loses against them."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    context = kind.context(truth)
    best, simple = (kind.scores(truth, o, context) for o in (outputs, kind.baseline(truth, rows, "rmse")))
    for name, metric in kind.metrics.items():
        assert metric.gain(best[name], simple[name]) > 0 > metric.gain(simple[name], best[name])


def test_the_baseline_scores_what_arithmetic_says(evaluator_name: str) -> None:
    """The mean misses by the standard deviation, the majority hits its share, persistence misses by the steps."""
    kind = evaluator(evaluator_name)
    truth, _, rows = case(problem(evaluator_name))
    scores = kind.scores(truth, kind.baseline(truth, rows, "rmse"), kind.context(truth))
    if evaluator_name == "regression":
        expected = {"rmse": truth.std(), "r2": 0.0}
    elif evaluator_name == "forecasting":
        expected = {"mae": np.abs(truth - np.roll(truth, 1)).mean()}
    else:  # of translation: a letter too many before, one missing behind; of generation: see test_language.py
        expected = {
            "classification": {"accuracy": 14 / 40, "balanced_accuracy": 1 / 3, "roc_auc": 0.5},
            "translation": {"exact": 26 / 40, "error_rate": 14 * 2 / 160},
            "generation": {},
        }[evaluator_name]
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_a_class_absent_from_the_test_part_is_handled(evaluator_name: str) -> None:
    """Scores and details of a test part of one class, or of one value, are finite JSON; what is undefined is null."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    alone = np.flatnonzero(truth == truth[0])
    few = predictions(kind, outputs[alone], truth[alone], {name: values[alone] for name, values in rows.items()})
    scores = kind.scores(few.truth, few.outputs, kind.context(truth))
    assert np.isfinite(list(scores.values())).all()
    json.dumps(kind.details(few), allow_nan=False)


def test_details_and_plots_are_finite_and_about_rows_of_the_raw_data(evaluator_name: str) -> None:
    """Worst rows carry their number in the raw data; columns behind a picture have one length."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    some = predictions(kind, spoiled(evaluator_name, outputs, 3), truth, rows)
    details = kind.details(some)
    json.dumps(details, allow_nan=False)
    assert details["worst"]
    assert all(100 <= record["row"] < 140 for record in details["worst"])
    for columns in kind.plots(some).values():
        assert len({len(values) for values in columns.values()}) == 1
        assert all(isinstance(leaf, int | float | str) for values in columns.values() for leaf in values)


def test_the_worst_row_comes_first(evaluator_name: str) -> None:
    """A row answered much more wrongly than the others heads the list."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    assert kind.details(predictions(kind, spoiled(evaluator_name, outputs, 7), truth, rows))["worst"][0]["row"] == 107


def test_every_exhibit_can_be_shown(evaluator_name: str) -> None:
    """There is at least one; each has a title of its own, a sentence, and data that a page can hold."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    shown = kind.figures(predictions(kind, outputs, truth, rows))
    assert shown
    assert len({one.title for one in shown}) == len(shown)
    assert all(one.text.endswith(".") for one in shown)
    json.dumps([one.data for one in shown], allow_nan=False)


@pytest.mark.parametrize("ends", [False, True])
def test_of_a_long_series_the_end_is_shown(ends: bool) -> None:
    """The last 200 test rows by their places, each with its own value, forecast, baseline and ends."""
    kind, rows = evaluator("forecasting"), 250
    truth = np.arange(rows, dtype=np.float64)
    outputs = np.stack([truth, truth - 1, truth + 1], axis=1)[:, :, None] if ends else truth[:, None]
    made = Predictions(truth, outputs, truth[:, None], np.arange(rows), [], "y")
    course, last = kind.figures(made)[0].data, list(range(50, 250))
    for line in course["lines"]:
        assert (line["x"], line["y"]) == (last, last)
    if ends:
        assert course["band"]["x"] == last
        assert course["band"]["low"] == [place - 1 for place in last]
        assert course["band"]["high"] == [place + 1 for place in last]


def test_steps_are_drawn_where_there_are_several() -> None:
    """A forecast of one value has no table of steps, of three values it has one with three rows."""
    kind = evaluator("forecasting")
    one, three = (
        kind.plots(Predictions(truth, np.zeros((9, steps)), np.zeros((9, steps)), np.arange(9), [], "y"))
        for truth, steps in ((np.zeros(9), 1), (np.zeros((9, 3)), 3))
    )
    assert "steps" not in one
    assert three["steps"]["step"] == [1, 2, 3]


def test_absolute_errors_have_a_baseline_of_their_own() -> None:
    """Where few values are large, their mean is no honest rival for the mean absolute error: the median is."""
    kind, truth = evaluator("regression"), np.array([0.0] * 9 + [100.0])
    constants = {name: float(kind.baseline(truth, {"x": truth}, name)[0, 0]) for name in ("rmse", "mae", "r2")}
    assert constants == {"rmse": 10.0, "mae": 0.0, "r2": 10.0}


def test_every_figure_is_told_in_words(evaluator_name: str) -> None:
    """Each metric has a sentence for people, of its own."""
    meanings = [metric.meaning for metric in evaluator(evaluator_name).metrics.values()]
    assert all(len(meaning) > 20 and not meaning.endswith(".") for meaning in meanings)
    assert len({*meanings}) == len(meanings)
