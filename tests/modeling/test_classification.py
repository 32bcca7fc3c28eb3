"""Classification by hand: outputs, tables, worst rows and curves of a report, and the published schema."""

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
EVALUATED = Predictions(TRUTH, SHARES, np.full((5, 3), 1 / 3), np.arange(10, 15), ["a", "b", "c"], "y")


@pytest.mark.parametrize(("output", "units"), [("softmax", 3), ("sigmoid", 1)])
def test_network_has_one_output_per_label(output: str, units: int) -> None:
    """With a sigmoid, there is one output for the second of two labels."""
    assert Classification().units(TARGET, output, cast("FittedEncoder", None)) == units


def test_baseline_predicts_label_frequencies() -> None:
    """Every row has the same probabilities."""
    found = Evaluator().baseline(np.array([0, 2, 2, 2]), {"x": np.zeros(2)}, "accuracy")
    assert found.tolist() == [[0.25, 0, 0.75]] * 2


def test_single_output_is_the_probability_of_the_second_label() -> None:
    """The first label has the remaining probability; a prediction is the label with both."""
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
def test_schema_describes_probabilities(shares: dict[str, float], fits: bool) -> None:
    """Each label has a probability from 0 to 1."""
    prediction = {"label": "a", "probabilities": shares}
    found = jsonschema.Draft202012Validator(Classification().json_schema(TARGET))
    assert found.is_valid(prediction) is fits
    assert not found.is_valid({**prediction, "label": "d"})
    assert Classification().purpose(TARGET) == "the label of `y`, one of a, b, c, with probabilities"


def test_confusion_matrix_and_class_table_by_hand() -> None:
    """Rows are true labels, columns predicted ones; undefined ratios are null."""
    details = Evaluator().details(EVALUATED)
    assert details["confusion"] == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert details["per_class"] == [
        {"class": "a", "rows": 3, "precision": 0.5, "recall": pytest.approx(1 / 3), "f1": 0.4},
        {"class": "b", "rows": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5},
        {"class": "c", "rows": 0, "precision": 0, "recall": None, "f1": 0},
    ]


def test_worst_rows_are_sorted_by_probability() -> None:
    """The sort key is the probability of the actual label; correct rows are not listed."""
    assert Evaluator().details(EVALUATED)["worst"] == [
        {"row": 14, "actual": "b", "predicted": "a", "probability_of_actual": 0.05},
        {"row": 11, "actual": "a", "predicted": "b", "probability_of_actual": 0.2},
        {"row": 12, "actual": "a", "predicted": "c", "probability_of_actual": 0.3},
    ]
    many = Predictions(
        np.zeros(12, int), np.tile([0.4, 0.6, 0], (12, 1)), np.zeros((12, 3)), np.arange(12), ["a", "b", "c"]
    )
    assert [one["row"] for one in Evaluator().details(many)["worst"]] == [*range(10)]


def test_plots_by_hand() -> None:
    """The confusion plot has label names; the ROC plot is the mean curve, or the diagonal for only one label."""
    plots = Evaluator().plots(EVALUATED)
    assert plots["confusion"] == {"actual": [*"aaabb"], "predicted": [*"abcba"]}
    mean = curves.macro([*_label_figures.rocs(EVALUATED).values()])
    assert plots["roc"]["false_positive"] == mean.false_positive.tolist()
    assert plots["roc"]["true_positive"] == mean.true_positive.tolist()
    one_label = Predictions(TRUTH[:3], SHARES[:3], SHARES[:3], np.arange(3), ["a", "b", "c"])
    chance = Evaluator().plots(one_label)["roc"]
    assert chance["false_positive"] == chance["true_positive"]
    assert (chance["true_positive"][0], chance["true_positive"][-1]) == (0, 1)


def test_labels_with_rows_have_roc_curves() -> None:
    """Each label is compared with all others; of two labels only the second has a curve."""
    assert [*_label_figures.rocs(EVALUATED)] == ["a", "b"]
    two = Predictions(TRUTH, SHARES[:, :2], SHARES[:, :2], np.arange(5), ["a", "b"])
    assert [*_label_figures.rocs(two)] == ["b"]
    for truth in (np.zeros(5, int), np.ones(5, int)):
        assert not _label_figures.rocs(Predictions(truth, SHARES[:, :2], SHARES[:, :2], np.arange(5), ["a", "b"]))


def figures(evaluated: Predictions) -> dict[str, Any]:
    """Return the figures of a report by title."""
    return {one.title: one for one in _label_figures.label_figures(evaluated)}


@pytest.mark.parametrize(
    ("labels", "shown_labels", "text"), [(6, 6, "each class against"), (7, 6, "the 6 worst of 7 classes")]
)
def test_worst_six_labels_are_plotted(labels: int, shown_labels: int, text: str) -> None:
    """They are sorted by area; the mean and chance follow in the ROC figure."""
    truth = np.repeat(np.arange(labels), 4)
    shares = np.eye(labels)[truth] + np.random.default_rng(0).random((4 * labels, labels)) * np.linspace(3, 0.5, labels)
    names = [f"n{i}" for i in range(labels)]
    evaluated = Predictions(truth, shares / shares.sum(axis=1, keepdims=True), shares, np.arange(4 * labels), names)
    areas = {name: curve.area for name, curve in _label_figures.rocs(evaluated).items()}
    worst = sorted(areas, key=lambda name: areas[name])[:shown_labels]
    roc, precision = figures(evaluated)["ROC"], figures(evaluated)["Precision and recall"]
    expected = [
        *(f"{name}, {areas[name]:.3f}" for name in worst),
        f"mean, {np.mean([*areas.values()]):.3f}",
        "by chance",
    ]
    assert [line["name"] for line in roc.data["lines"]] == expected
    assert [line["name"].partition(",")[0] for line in precision.data["lines"]] == worst
    assert text in roc.text
    assert roc.data["square"] is precision.data["square"] is True
    assert all(line["threshold"] for line in precision.data["lines"])


def test_curves_of_two_labels_by_hand() -> None:
    """There is one curve and chance, without a mean; all thresholds are included."""
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


def test_mean_curve_of_two_labels_with_rows() -> None:
    """The third label has no rows; if only one label has rows, there are no curves."""
    lines = figures(EVALUATED)["ROC"].data["lines"]
    assert [line["name"].partition(",")[0] for line in lines] == ["b", "a", "mean", "by chance"]
    one_label = Predictions(TRUTH[:3], SHARES[:3], SHARES[:3], np.arange(3), ["a", "b", "c"])
    assert [*figures(one_label)] == ["Confusion matrix", "Calibration"]


@pytest.mark.parametrize(("labels", "label"), [(2, "yes"), (3, "the predicted label")])
def test_calibration_of_the_second_or_the_predicted_label(labels: int, label: str) -> None:
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
    assert f"How often {label} is right" in shown.text
    assert shown.data["square"] is True


def test_confusion_matrix_is_shaded_by_row() -> None:
    """Actual labels are rows, predicted ones columns."""
    shown = figures(EVALUATED)["Confusion matrix"].data
    assert (shown["down"], shown["across"], shown["by_row"]) == ("Actual", "Predicted", True)
    assert shown["values"] == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_non_finite_values_are_null() -> None:
    """JSON has neither NaN nor infinity."""
    assert [finite(value) for value in (0.5, math.nan, math.inf)] == [0.5, None, None]
