"""Curves over thresholds: worked by hand, held against scikit-learn, and what a report reads off a confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators import _label_figures
from tiltyard.modeling.evaluators.classification import Classification
from tiltyard.modeling.evaluators.regression import Regression, compared
from tiltyard.modeling.metrics import curves, scores
from tiltyard.modeling.metrics.confusion_matrix import binary_metrics
from tiltyard.modeling.metrics.predictions import Predictions

HAND = np.array([True, False, True, True, False]), np.array([0.9, 0.8, 0.7, 0.4, 0.4])


def test_roc_by_hand() -> None:
    """Three members and two others: each threshold's shares, and three pairs and a half of six in order."""
    curve = curves.roc(*HAND)
    assert curve.threshold.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.4]
    assert curve.true_positive == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.false_positive == pytest.approx([0, 0, 0.5, 0.5, 1])
    assert curve.area == pytest.approx(3.5 / 6)


def test_precision_by_hand() -> None:
    """One of one, one of two, two of three, three of five."""
    curve = curves.precision(*HAND)
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 5])
    assert curve.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.average == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.integers(1, 8))
def test_curves_are_those_of_scikit_learn(seed: int, rows: int, steps: int) -> None:
    """Also where many rows score alike."""
    generator = np.random.default_rng(seed)
    inside = generator.random(rows) < 0.5
    inside[:2] = [True, False]
    score = np.round(generator.random(rows) * steps) / steps
    ours, (fpr, tpr, _) = curves.roc(inside, score), oracle.roc_curve(inside, score, drop_intermediate=False)
    assert ours.false_positive == pytest.approx(fpr)
    assert ours.true_positive == pytest.approx(tpr)
    assert ours.area == pytest.approx(oracle.roc_auc_score(inside, score))
    assert curves.precision(inside, score).average == pytest.approx(oracle.average_precision_score(inside, score))


def test_the_area_is_the_metric() -> None:
    """What is drawn and what decides are the same figure, class by class."""
    generator = np.random.default_rng(0)
    truth, shares = generator.integers(0, 3, 200), generator.dirichlet([1, 1, 1], 200)
    areas = [curves.roc(truth == label, shares[:, label]).area for label in range(3)]
    assert np.mean(areas) == pytest.approx(scores.roc_auc(truth, shares))


def test_the_mean_of_curves() -> None:
    """A perfect one and a useless one: from a half straight up to all."""
    perfect = curves.roc(np.array([True, False]), np.array([1.0, 0.0]))
    useless = curves.roc(np.array([True, False]), np.array([0.5, 0.5]))
    mean = curves.macro([perfect, useless])
    assert mean.true_positive[[0, 50, 100]] == pytest.approx([0.5, 0.75, 1])
    assert mean.area == pytest.approx(0.75)


def test_calibration_by_hand() -> None:
    """Two spans: four answers of 15 % of which one came, two of 95 % of which both did."""
    stated, came = np.array([0.15] * 4 + [0.95] * 2), np.array([1, 0, 0, 0, 1, 1], dtype=bool)
    found = curves.calibration(came, stated)
    assert found.stated == pytest.approx([0.15, 0.95])
    assert found.came == pytest.approx([0.25, 1])
    assert found.rows.tolist() == [4, 2]


def test_calibration_is_that_of_scikit_learn() -> None:
    """Over ten equal spans."""
    generator = np.random.default_rng(1)
    stated = generator.random(500)
    came = generator.random(500) < stated
    expected_came, expected_stated = oracle_calibration(came, stated)
    found = curves.calibration(came, stated)
    assert found.came == pytest.approx(expected_came)
    assert found.stated == pytest.approx(expected_stated)


def oracle_calibration(came: Array, stated: Array) -> tuple[Array, Array]:
    """Ask scikit-learn."""
    expected, said = calibration_curve(came, stated, n_bins=curves.BINS)
    return expected, said


def test_what_a_confusion_matrix_tells() -> None:
    """TP 90, FN 30, FP 10, TN 70: accuracy .8, recall .75, false alarms .125, precision .9, F .818, prevalence .6."""
    told = binary_metrics(np.array([[70, 10], [30, 90]]))
    expected = {
        "accuracy": 0.8,
        "error": 0.2,
        "recall (true positive rate)": 0.75,
        "false positive rate": 0.125,
        "specificity": 0.875,
        "precision": 0.9,
        "F1": 0.818,
        "prevalence": 0.6,
        "error of the more frequent label": 0.4,
    }
    assert told == pytest.approx(expected, abs=5e-4)


def test_the_hundred_patients() -> None:
    """Two sick of whom one is missed: 99 % are answered rightly, and half of the sick are not found."""
    told = binary_metrics(np.array([[98, 0], [1, 1]]))
    assert told["accuracy"] == pytest.approx(0.99)
    assert told["recall (true positive rate)"] == pytest.approx(0.5)
    assert told["error of the more frequent label"] == pytest.approx(0.02)
    assert Classification.metrics["balanced_accuracy"].score(
        np.array([0] * 98 + [1, 1]), np.array([[1.0, 0.0]] * 99 + [[0.0, 1.0]]), {}
    ) == pytest.approx(0.75)


def test_a_report_of_two_labels_shows_what_the_matrix_tells() -> None:
    """Every figure by its name, of the second label; where there are three labels, there is no such table."""
    truth, outputs = np.array([0, 0, 1, 1]), np.eye(3)[[0, 1, 1, 1]]
    made = Predictions(truth, outputs[:, :2], outputs[:, :2], np.arange(4), ["no", "yes"], "y")
    (table,) = [one for one in _label_figures.label_figures(made) if one.kind == "table"]
    assert table.text == "yes counts as the positive class."
    assert dict(table.data["rows"]) == binary_metrics(np.array([[1, 1], [0, 2]]))
    three = Predictions(truth, outputs, outputs, np.arange(4), ["a", "b", "c"], "y")
    assert not [one for one in _label_figures.label_figures(three) if one.kind == "table"]


def test_the_mean_of_several_curves_stands_out() -> None:
    """The curve of each class is thin, the mean of them strong, and chance is dashed."""
    truth = np.array([0, 1, 2, 0])
    made = Predictions(truth, np.eye(3)[truth], np.eye(3)[truth], np.arange(4), ["a", "b", "c"], "y")
    (roc,) = [one for one in _label_figures.label_figures(made) if one.title == "ROC"]
    styles = {line["name"].partition(",")[0]: {*line} & {"strong", "dashed"} for line in roc.data["lines"] if line}
    assert styles == {"a": set(), "b": set(), "c": set(), "mean": {"strong"}, "by chance": {"dashed"}}
    assert all(line.get("strong", True) and line.get("dashed", True) for line in roc.data["lines"])


def test_residuals_by_hand() -> None:
    """Predicted minus actual over predicted; the points of the other plot lie on the line where both agree."""
    both, residuals, errors = compared(np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 3.0]), "y")
    assert both.data["groups"] == [{"name": "", "x": [2, 2, 3], "y": [1, 2, 4]}]
    assert residuals.data["groups"] == [{"name": "", "x": [2, 2, 3], "y": [1, 0, -1]}]
    assert sum(errors.data["lines"][0]["y"]) == 2 * 3
    assert errors.text.endswith("; 0 on average.")


def test_largest_and_smallest_errors_by_hand() -> None:
    """Of twelve rows the ten that are missed most, and the ten that are missed least, in that order."""
    missed = np.array([5, -1, 3, 0, -9, 2, 4, -6, 7, 8, -10, 1.5])
    rows = Predictions(np.zeros(12), missed[:, None], np.zeros((12, 1)), np.arange(100, 112))
    told = Regression().details(rows)
    assert [one["error"] for one in told["worst"]] == [-10, -9, 8, 7, -6, 5, 4, 3, 2, 1.5]
    assert [one["row"] for one in told["best"]][:3] == [103, 101, 111]
    assert told["worst"][0] == {"row": 110, "actual": 0, "predicted": -10, "error": -10}
