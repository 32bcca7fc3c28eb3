"""Labels by hand: outputs and shares, tables and worst rows of a report, its curves, and what clients are told."""

from __future__ import annotations

import math
from typing import Any, cast

import jsonschema
import numpy as np
import pytest

from tiltyard.modeling.evaluators import _label_figures
from tiltyard.modeling.evaluators.classification import Classification as Evaluator
from tiltyard.modeling.metrics import curves
from tiltyard.modeling.metrics.confusion_matrix import finite
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import FittedEncoder, Target
from tiltyard.modeling.problems.classification import Classification, probabilities

TARGET = Target(column="y", classes=["a", "b", "c"])
TRUTH = np.array([0, 0, 0, 1, 1])
SHARES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1], [0.85, 0.05, 0.1]])
MADE = Predictions(TRUTH, SHARES, np.full((5, 3), 1 / 3), np.arange(10, 15), ["a", "b", "c"], "y")


@pytest.mark.parametrize(("output", "units"), [("softmax", 3), ("sigmoid", 1)])
def test_the_network_has_an_output_a_label(output: str, units: int) -> None:
    """Or a single one for the second of two."""
    assert Classification().units(TARGET, output, cast("FittedEncoder", None)) == units


def test_the_baseline_knows_how_frequent_labels_are() -> None:
    """The same shares for every row."""
    found = Evaluator().baseline(np.array([0, 2, 2, 2]), {"x": np.zeros(2)}, "accuracy")
    assert found.tolist() == [[0.25, 0, 0.75]] * 2


def test_one_output_is_the_probability_of_the_second_label() -> None:
    """The first has what is left; an answer is the label with both."""
    outputs = np.array([[0.25], [0.75]])
    assert probabilities(outputs).tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert Classification().decode(outputs, ["no", "yes"]) == [
        {"label": "no", "probabilities": {"no": 0.75, "yes": 0.25}},
        {"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}},
    ]


@pytest.mark.parametrize(
    ("shares", "fits"),
    [
        ({"a": 0, "b": 1, "c": 0.5}, True),
        ({"a": -0.1, "b": 1, "c": 0}, False),
        ({"a": 1.1, "b": 0, "c": 0}, False),
        ({"a": 1, "b": 0}, False),
    ],
)
def test_clients_are_told_of_probabilities(shares: dict[str, float], fits: bool) -> None:
    """From 0 to 1, one for each label."""
    answer = {"label": "a", "probabilities": shares}
    found = jsonschema.Draft202012Validator(Classification().json_schema(TARGET))
    assert found.is_valid(answer) is fits
    assert not found.is_valid({**answer, "label": "d"})
    assert Classification().purpose(TARGET) == "the label of `y`, one of a, b, c, with probabilities"


def test_a_report_of_labels_by_hand() -> None:
    """Down the true label, across the predicted one; a ratio over nothing is no figure."""
    told = Evaluator().details(MADE)
    assert told["confusion"] == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert told["per_class"] == [
        {"class": "a", "rows": 3, "precision": 0.5, "recall": pytest.approx(1 / 3), "f1": 0.4},
        {"class": "b", "rows": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5},
        {"class": "c", "rows": 0, "precision": 0, "recall": None, "f1": 0},
    ]


def test_the_most_surely_wrong_rows_come_first() -> None:
    """By the probability that their own label got; right ones are not listed."""
    assert Evaluator().details(MADE)["worst"] == [
        {"row": 14, "actual": "b", "predicted": "a", "probability_of_actual": 0.05},
        {"row": 11, "actual": "a", "predicted": "b", "probability_of_actual": 0.2},
        {"row": 12, "actual": "a", "predicted": "c", "probability_of_actual": 0.3},
    ]
    many = Predictions(
        np.zeros(12, int), np.tile([0.4, 0.6, 0], (12, 1)), np.zeros((12, 3)), np.arange(12), ["a", "b", "c"]
    )
    assert [one["row"] for one in Evaluator().details(many)["worst"]] == [*range(10)]


def test_plots_of_labels_by_hand() -> None:
    """Names for the confusion matrix, and the mean of the curves of labels that there are; of one label chance."""
    drawn = Evaluator().plots(MADE)
    assert drawn["confusion"] == {"actual": [*"aaabb"], "predicted": [*"abcba"]}
    mean = curves.macro([*_label_figures.rocs(MADE).values()])
    assert drawn["roc"]["false_positive"] == mean.false_positive.tolist()
    assert drawn["roc"]["true_positive"] == mean.true_positive.tolist()
    alone = Predictions(TRUTH[:3], SHARES[:3], SHARES[:3], np.arange(3), ["a", "b", "c"])
    chance = Evaluator().plots(alone)["roc"]
    assert chance["false_positive"] == chance["true_positive"]
    assert (chance["true_positive"][0], chance["true_positive"][-1]) == (0, 1)


def test_labels_with_rows_have_curves() -> None:
    """Against all others; of two labels the second alone, and of a label without rows or others none."""
    assert [*_label_figures.rocs(MADE)] == ["a", "b"]
    two = Predictions(TRUTH, SHARES[:, :2], SHARES[:, :2], np.arange(5), ["a", "b"])
    assert [*_label_figures.rocs(two)] == ["b"]
    for truth in (np.zeros(5, int), np.ones(5, int)):
        assert not _label_figures.rocs(Predictions(truth, SHARES[:, :2], SHARES[:, :2], np.arange(5), ["a", "b"]))


def figures(made: Predictions) -> dict[str, Any]:
    """Return the figures of a report by their titles."""
    return {one.title: one for one in _label_figures.label_figures(made)}


@pytest.mark.parametrize(
    ("labels", "drawn", "told"), [(6, 6, "each class against"), (7, 6, "the 6 worst of 7 classes")]
)
def test_of_many_labels_the_worst_six_are_drawn(labels: int, drawn: int, told: str) -> None:
    """Those with the least area first, then the mean of all, then chance; in the other picture the same without."""
    truth = np.repeat(np.arange(labels), 4)
    shares = np.eye(labels)[truth] + np.random.default_rng(0).random((4 * labels, labels)) * np.linspace(3, 0.5, labels)
    names = [f"n{place}" for place in range(labels)]
    made = Predictions(truth, shares / shares.sum(axis=1, keepdims=True), shares, np.arange(4 * labels), names)
    areas = {name: curve.area for name, curve in _label_figures.rocs(made).items()}
    worst = sorted(areas, key=lambda name: areas[name])[:drawn]
    roc, precision = figures(made)["ROC"], figures(made)["Precision and recall"]
    expected = [
        *(f"{name}, {areas[name]:.3f}" for name in worst),
        f"mean, {np.mean([*areas.values()]):.3f}",
        "by chance",
    ]
    assert [line["name"] for line in roc.data["lines"]] == expected
    assert [line["name"].partition(",")[0] for line in precision.data["lines"]] == worst
    assert told in roc.text
    assert roc.data["square"] is precision.data["square"] is True
    assert all(line["threshold"] for line in precision.data["lines"])


def test_curves_of_two_labels_by_hand() -> None:
    """One line and chance, without a mean of one; every threshold is told."""
    outputs = np.array([[0.1], [0.4], [0.35], [0.8]])
    shown = figures(Predictions(np.array([0, 0, 1, 1]), outputs, outputs, np.arange(4), ["no", "yes"]))
    curve, chance = shown["ROC"].data["lines"]
    assert curve["name"] == "yes, 0.750"
    assert (curve["x"], curve["y"]) == ([0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1])
    assert curve["threshold"][1:] == [0.8, 0.4, 0.35, 0.1]
    assert chance == {"name": "by chance", "x": [0, 1], "y": [0, 1], "dashed": True}
    (precise,) = shown["Precision and recall"].data["lines"]
    assert precise["name"] == "yes, 0.833"
    assert precise["x"] == [0.5, 0.5, 1, 1]
    assert precise["y"] == pytest.approx([1, 0.5, 2 / 3, 0.5], rel=1e-5)


def test_two_labels_of_three_have_a_mean() -> None:
    """Where the third has no rows; where one label alone has rows there are no curves."""
    lines = figures(MADE)["ROC"].data["lines"]
    assert [line["name"].partition(",")[0] for line in lines] == ["b", "a", "mean", "by chance"]
    alone = Predictions(TRUTH[:3], SHARES[:3], SHARES[:3], np.arange(3), ["a", "b", "c"])
    assert [*figures(alone)] == ["Confusion", "Calibration"]


@pytest.mark.parametrize(("labels", "what"), [(2, "yes"), (3, "the predicted label")])
def test_calibration_is_of_the_second_label_or_the_likeliest(labels: int, what: str) -> None:
    """Of ten rows with a predicted probability of 80 %, nine are right; the line shows perfect calibration."""
    shares = np.array([[0.2, 0.8], [0.9, 0.1]] if labels == 2 else [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]])
    truth = np.array([1] * 9 + [0] + ([0] * 10 if labels == 2 else [0] * 9 + [2]))
    outputs = np.repeat(shares, 10, axis=0)
    shown = figures(Predictions(truth, outputs, outputs, np.arange(20), ["no", "yes", "maybe"][:labels]))["Calibration"]
    model, calibrated = shown.data["lines"]
    assert (model["x"], model["y"], model["rows"]) == (
        ([0.1, 0.8], [0, 0.9], [10, 10]) if labels == 2 else ([0.8], [0.9], [20])
    )
    assert model["dots"] is True
    assert calibrated == {"name": "calibrated", "x": [0, 1], "y": [0, 1], "dashed": True}
    assert f"How often {what} is right" in shown.text
    assert shown.data["square"] is True


def test_the_matrix_is_shaded_by_row() -> None:
    """Actual labels down, predicted ones across."""
    shown = figures(MADE)["Confusion"].data
    assert (shown["down"], shown["across"], shown["by_row"]) == ("Actual", "Predicted", True)
    assert shown["values"] == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_what_is_no_figure_is_none() -> None:
    """In tables, where JSON has neither NaN nor infinity."""
    assert [finite(value) for value in (0.5, math.nan, math.inf)] == [0.5, None, None]
