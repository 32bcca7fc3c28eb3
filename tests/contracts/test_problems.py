"""Every problem plug-in: perfect predictions score perfect, the baseline does what arithmetic says, all is finite."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from workspaces import ROOT

from tiltyard import plugins
from tiltyard.arrays import Array, Rows
from tiltyard.config import loader
from tiltyard.modeling.columns.prose import Prose
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import TRUTH, Problem
from tiltyard.modeling.problems.generation import Generation
from tiltyard.modeling.problems.translation import judged
from tiltyard.workspace import Workspace

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
CLASSES = ["a", "b", "<c>"]


def problem(name: str) -> Problem:
    """Make the plug-in."""
    made: Problem = plugins.load("problems", name)()
    return made


def case(kind: Problem, rows: int = 40) -> tuple[Array, Array, Rows]:
    """Return a truth, the outputs that meet it, and rows whose last value is the truth before."""
    if kind.targets == "label":
        truth = np.arange(rows) % 3
        return truth, np.eye(3)[truth], {"x": np.zeros(rows)}
    if kind.targets == "text":
        return texts(kind, rows)
    truth = np.sin(np.arange(rows)) + 3
    return truth, truth[:, None], {"x": np.roll(truth, 1)[:, None]}


def texts(kind: Problem, rows: int) -> tuple[Array, Array, Rows]:
    """Return texts of two kinds, most of them the first, and what is measured of those who know them."""
    truth = np.array(["abcd" if row % 3 else "bcde" for row in range(rows)])
    windows = Prose(length=4).windows(["zabc" if row % 3 else "abcd" for row in range(rows)])
    perfect = np.tile([0.0, 4.0, 4.0], (rows, 1))
    outputs = perfect if isinstance(kind, Generation) else judged([*truth], truth, "characters")
    return truth, outputs, {"x": windows, TRUTH: truth}


def spoiled(kind: Problem, outputs: Array, place: int) -> Array:
    """Make one row much worse."""
    outputs = outputs.copy()
    if outputs.dtype.names:
        outputs[place] = ("oops", 0.0, 4.0, 4.0)
    elif kind.targets == "text":
        outputs[place] = 50.0, 0.0, 4.0
    else:
        outputs[place] = np.roll(outputs[place], 1) if kind.targets == "label" else outputs[place] + 50
    return outputs


def predictions(kind: Problem, outputs: Array, truth: Array, rows: Rows) -> Predictions:
    """Put outputs beside the baseline's."""
    numbers = np.arange(len(truth)) + 100
    return Predictions(truth, outputs, kind.baseline(truth, rows, "rmse"), numbers, CLASSES, "y (cm)")


def leaves(content: Any) -> list[Any]:
    """Return everything in a JSON value that is not a container."""
    if isinstance(content, dict):
        return [leaf for value in content.values() for leaf in leaves(value)]
    return [leaf for value in content for leaf in leaves(value)] if isinstance(content, list) else [content]


def test_perfect_predictions_score_perfect(problem_name: str) -> None:
    """The truth itself gets the best value of every metric."""
    kind = problem(problem_name)
    truth, outputs, _ = case(kind)
    scores = kind.scores(truth, outputs, kind.context(truth))
    assert scores == pytest.approx({name: PERFECT.get(name, 1) for name in kind.metrics})


def test_a_better_score_is_a_gain(problem_name: str) -> None:
    """Perfect predictions gain over the baseline in every metric, and the baseline loses against them."""
    kind = problem(problem_name)
    truth, outputs, rows = case(kind)
    context = kind.context(truth)
    best, simple = (kind.scores(truth, o, context) for o in (outputs, kind.baseline(truth, rows, "rmse")))
    for name, metric in kind.metrics.items():
        assert metric.gain(best[name], simple[name]) > 0 > metric.gain(simple[name], best[name])


def test_the_baseline_scores_what_arithmetic_says(problem_name: str) -> None:
    """The mean misses by the standard deviation, the majority hits its share, persistence misses by the steps."""
    kind = problem(problem_name)
    truth, _, rows = case(kind)
    scores = kind.scores(truth, kind.baseline(truth, rows, "rmse"), kind.context(truth))
    if problem_name == "regression":
        expected = {"rmse": truth.std(), "r2": 0.0}
    elif problem_name == "forecasting":
        expected = {"mae": np.abs(truth - np.roll(truth, 1)).mean()}
    else:  # of translation: a letter too many before, one missing behind; of generation: see test_language.py
        expected = {
            "classification": {"accuracy": 14 / 40, "balanced_accuracy": 1 / 3, "roc_auc": 0.5},
            "translation": {"exact": 26 / 40, "error_rate": 14 * 2 / 160},
            "generation": {},
        }[problem_name]
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def test_a_class_absent_from_the_test_part_is_handled(problem_name: str) -> None:
    """Scores and details of a test part of one class, or of one value, are finite JSON; what is undefined is null."""
    kind = problem(problem_name)
    truth, outputs, rows = case(kind)
    alone = np.flatnonzero(truth == truth[0])
    few = predictions(kind, outputs[alone], truth[alone], {name: values[alone] for name, values in rows.items()})
    scores = kind.scores(few.truth, few.outputs, kind.context(truth))
    assert np.isfinite(list(scores.values())).all()
    json.dumps(kind.details(few), allow_nan=False)


def test_details_and_plots_are_finite_and_about_rows_of_the_raw_data(problem_name: str) -> None:
    """Worst rows carry their number in the raw data; columns behind a picture have one length."""
    kind = problem(problem_name)
    truth, outputs, rows = case(kind)
    some = predictions(kind, spoiled(kind, outputs, 3), truth, rows)
    details = kind.details(some)
    json.dumps(details, allow_nan=False)
    assert details["worst"]
    assert all(100 <= record["row"] < 140 for record in details["worst"])
    for columns in kind.plots(some).values():
        assert len({len(values) for values in columns.values()}) == 1
        assert all(isinstance(leaf, int | float | str) for values in columns.values() for leaf in values)


def test_the_worst_row_comes_first(problem_name: str) -> None:
    """A row answered much more wrongly than the others heads the list."""
    kind = problem(problem_name)
    truth, outputs, rows = case(kind)
    assert kind.details(predictions(kind, spoiled(kind, outputs, 7), truth, rows))["worst"][0]["row"] == 107


def test_every_exhibit_can_be_shown(problem_name: str) -> None:
    """There is at least one; each has a title of its own, a sentence, and data that a page can hold."""
    kind = problem(problem_name)
    truth, outputs, rows = case(kind)
    shown = kind.exhibits(predictions(kind, outputs, truth, rows))
    assert shown
    assert len({one.title for one in shown}) == len(shown)
    assert all(one.text.endswith(".") for one in shown)
    json.dumps([one.data for one in shown], allow_nan=False)


def test_answers_are_json(problem_name: str) -> None:
    """What a client receives holds plain numbers and text, one answer an instance."""
    kind = problem(problem_name)
    truth, outputs, _ = case(kind, rows=3)
    answers = kind.answer(truth if kind.targets == "text" else outputs.astype(np.float32), CLASSES)
    json.dumps(answers, allow_nan=False)
    assert len(answers) == 3
    assert len(leaves(answers)) in {3, 12}


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("horizon", [1, 3])
def test_forecasts_fit_the_schema_that_clients_are_told(horizon: int, ends: bool) -> None:
    """A number, a list of as many as the horizon, or three lists with ends; no form passes for another."""
    task = loader.load(Workspace(ROOT), "sine")
    target = task.target.model_copy(update={"horizon": horizon, "interval": 0.8 if ends else None})
    kind, outputs = problem("forecasting"), np.ones((2, 3, horizon) if ends else (2, horizon))
    schema = kind.json_schema(target)
    for answer in kind.answer(outputs, []):
        jsonschema.validate(answer, schema)
    other = kind.answer(np.ones((1, 3, horizon) if not ends else (1, horizon)), [])[0]
    for wrong in (other, kind.answer(np.ones((1, horizon + 1)), [])[0]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("regression", {"unit": ""}, "the number `progression`"),
        ("regression", {"unit": "cm"}, "the number `progression` (cm)"),
        ("forecasting", {"unit": "cm", "horizon": 1}, "the next value of `progression` (cm)"),
        (
            "forecasting",
            {"unit": "", "horizon": 3, "interval": 0.8},
            "the next 3 values of `progression`, each with the two ends that 80% of the true values lie between",
        ),
    ],
)
def test_the_card_says_what_is_predicted_and_in_which_unit(name: str, target: dict[str, Any], said: str) -> None:
    """A unit only where there is one, and ends only where they were asked for."""
    task = loader.load(Workspace(ROOT), "diabetes")
    assert problem(name).purpose(task.target.model_copy(update=target)) == said


@pytest.mark.parametrize("ends", [False, True])
def test_of_a_long_series_the_end_is_shown(ends: bool) -> None:
    """The last 200 test rows by their places, each with its own value, forecast, baseline and ends."""
    kind, rows = problem("forecasting"), 250
    truth = np.arange(rows, dtype=np.float64)
    outputs = np.stack([truth, truth - 1, truth + 1], axis=1)[:, :, None] if ends else truth[:, None]
    made = Predictions(truth, outputs, truth[:, None], np.arange(rows), [], "y")
    course, last = kind.exhibits(made)[0].data, list(range(50, 250))
    for line in course["lines"]:
        assert (line["x"], line["y"]) == (last, last)
    if ends:
        assert course["band"]["x"] == last
        assert course["band"]["low"] == [place - 1 for place in last]
        assert course["band"]["high"] == [place + 1 for place in last]


def test_steps_are_drawn_where_there_are_several() -> None:
    """A forecast of one value has no table of steps, of three values it has one with three rows."""
    kind = problem("forecasting")
    one, three = (
        kind.plots(Predictions(truth, np.zeros((9, steps)), np.zeros((9, steps)), np.arange(9), [], "y"))
        for truth, steps in ((np.zeros(9), 1), (np.zeros((9, 3)), 3))
    )
    assert "steps" not in one
    assert three["steps"]["step"] == [1, 2, 3]


def test_answers_fit_their_schema(problem_name: str) -> None:
    """Clients are told what they receive, and that neither nothing nor an empty object is meant."""
    kind, task = problem(problem_name), loader.load(Workspace(ROOT), "sine")
    target = task.target.model_copy(update={"classes": CLASSES})
    schema = kind.json_schema(target)
    truth, outputs, _ = case(kind, rows=3)
    for answer in kind.answer(truth if kind.targets == "text" else outputs.astype(np.float32), CLASSES):
        jsonschema.validate(answer, schema)
    for wrong in (None, dict[str, Any]()):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_absolute_errors_have_a_baseline_of_their_own() -> None:
    """Where few values are large, their mean is no honest rival for the mean absolute error: the median is."""
    kind, truth = plugins.load("problems", "regression")(), np.array([0.0] * 9 + [100.0])
    constants = {name: float(kind.baseline(truth, {"x": truth}, name)[0, 0]) for name in ("rmse", "mae", "r2")}
    assert constants == {"rmse": 10.0, "mae": 0.0, "r2": 10.0}


def test_every_figure_is_told_in_words(problem_name: str) -> None:
    """Each metric has a sentence for people, of its own."""
    meanings = [metric.meaning for metric in problem(problem_name).metrics.values()]
    assert all(len(meaning) > 20 and not meaning.endswith(".") for meaning in meanings)
    assert len({*meanings}) == len(meanings)
