"""Curves over thresholds: by hand, compared with scikit-learn, and metrics of a confusion matrix."""

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
    """Three positive and two negative rows: rates by threshold, and 3.5 of six pairs in order."""
    curve = curves.roc(*HAND)
    assert curve.threshold.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.4]
    assert curve.true_positive == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.false_positive == pytest.approx([0, 0, 0.5, 0.5, 1])
    assert curve.area == pytest.approx(3.5 / 6)


def test_precision_by_hand() -> None:
    """Precision is 1/1, 1/2, 2/3 and 3/5."""
    curve = curves.precision(*HAND)
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 5])
    assert curve.recall == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])
    assert curve.average == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


@given(st.integers(0, 2**32 - 1), st.integers(4, 60), st.integers(1, 8))
def test_curves_equal_scikit_learn(seed: int, rows: int, steps: int) -> None:
    """Curves are equal even with many tied scores."""
    generator = np.random.default_rng(seed)
    positive = generator.random(rows) < 0.5
    positive[:2] = [True, False]
    score = np.round(generator.random(rows) * steps) / steps
    ours, (fpr, tpr, _) = curves.roc(positive, score), oracle.roc_curve(positive, score, drop_intermediate=False)
    assert ours.false_positive == pytest.approx(fpr)
    assert ours.true_positive == pytest.approx(tpr)
    assert ours.area == pytest.approx(oracle.roc_auc_score(positive, score))
    assert curves.precision(positive, score).average == pytest.approx(oracle.average_precision_score(positive, score))


def test_area_equals_the_metric() -> None:
    """The mean of the plotted areas of all classes is the ROC AUC metric."""
    generator = np.random.default_rng(0)
    truth, shares = generator.integers(0, 3, 200), generator.dirichlet([1, 1, 1], 200)
    areas = [curves.roc(truth == label, shares[:, label]).area for label in range(3)]
    assert np.mean(areas) == pytest.approx(scores.roc_auc(truth, shares))


def test_mean_of_two_curves() -> None:
    """The mean of a perfect and a useless curve rises linearly from a half to one."""
    perfect = curves.roc(np.array([True, False]), np.array([1.0, 0.0]))
    useless = curves.roc(np.array([True, False]), np.array([0.5, 0.5]))
    mean = curves.macro([perfect, useless])
    assert mean.true_positive[[0, 50, 100]] == pytest.approx([0.5, 0.75, 1])
    assert mean.area == pytest.approx(0.75)


def test_calibration_by_hand() -> None:
    """There are two bins: four predictions of 15 % with one positive, two of 95 % with two."""
    stated, came = np.array([0.15] * 4 + [0.95] * 2), np.array([1, 0, 0, 0, 1, 1], dtype=bool)
    found = curves.calibration(came, stated)
    assert found.stated == pytest.approx([0.15, 0.95])
    assert found.came == pytest.approx([0.25, 1])
    assert found.rows.tolist() == [4, 2]


def test_calibration_equals_scikit_learn() -> None:
    """Both use ten equal bins."""
    generator = np.random.default_rng(1)
    stated = generator.random(500)
    came = generator.random(500) < stated
    expected_came, expected_stated = oracle_calibration(came, stated)
    found = curves.calibration(came, stated)
    assert found.came == pytest.approx(expected_came)
    assert found.stated == pytest.approx(expected_stated)


def oracle_calibration(came: Array, stated: Array) -> tuple[Array, Array]:
    """Return the calibration curve of scikit-learn."""
    expected, mean_predicted = calibration_curve(came, stated, n_bins=curves.BINS)
    return expected, mean_predicted


def test_metrics_of_a_confusion_matrix() -> None:
    """TP 90, FN 30, FP 10, TN 70: accuracy .8, recall .75, FPR .125, precision .9, F1 .818, prevalence .6."""
    values = binary_metrics(np.array([[70, 10], [30, 90]]))
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
    assert values == pytest.approx(expected, abs=5e-4)


def test_metrics_of_imbalanced_labels() -> None:
    """With one of two sick patients among 100 missed, accuracy is 99 %, and recall is a half."""
    values = binary_metrics(np.array([[98, 0], [1, 1]]))
    assert values["accuracy"] == pytest.approx(0.99)
    assert values["recall (true positive rate)"] == pytest.approx(0.5)
    assert values["error of the more frequent label"] == pytest.approx(0.02)
    assert Classification.metrics["balanced_accuracy"].score(
        np.array([0] * 98 + [1, 1]), np.array([[1.0, 0.0]] * 99 + [[0.0, 1.0]]), {}
    ) == pytest.approx(0.75)


def test_report_of_two_labels_has_a_metrics_table() -> None:
    """The table has all metrics of the second label; with three labels there is no table."""
    truth, outputs = np.array([0, 0, 1, 1]), np.eye(3)[[0, 1, 1, 1]]
    evaluated = Predictions(truth, outputs[:, :2], outputs[:, :2], np.arange(4), ["no", "yes"], "y")
    table, _ = [one for one in _label_figures.label_figures(evaluated) if one.kind == "table"]  # and one by threshold
    assert table.text == "yes counts as the positive class."
    assert dict(table.data["rows"]) == binary_metrics(np.array([[1, 1], [0, 2]]))
    three = Predictions(truth, outputs, outputs, np.arange(4), ["a", "b", "c"], "y")
    assert not [one for one in _label_figures.label_figures(three) if one.kind == "table"]


def test_mean_curve_is_highlighted() -> None:
    """Curves of classes are thin, the mean is strong, and chance is dashed."""
    truth = np.array([0, 1, 2, 0])
    evaluated = Predictions(truth, np.eye(3)[truth], np.eye(3)[truth], np.arange(4), ["a", "b", "c"], "y")
    (roc,) = [one for one in _label_figures.label_figures(evaluated) if one.title == "ROC"]
    styles = {line["name"].partition(",")[0]: {*line} & {"strong", "dashed"} for line in roc.data["lines"] if line}
    assert styles == {"a": set(), "b": set(), "c": set(), "mean": {"strong"}, "by chance": {"dashed"}}
    assert all(line.get("strong", True) and line.get("dashed", True) for line in roc.data["lines"])


def test_residual_figures_by_hand() -> None:
    """Residuals are predicted minus actual, plotted over predicted; the other figure plots actual over predicted."""
    both, residuals, errors = compared(np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 3.0]), "y")
    assert both.data["groups"] == [{"name": "", "x": [2, 2, 3], "y": [1, 2, 4]}]
    assert residuals.data["groups"] == [{"name": "", "x": [2, 2, 3], "y": [1, 0, -1]}]
    assert sum(errors.data["lines"][0]["y"]) == 2 * 3
    assert errors.text.endswith("; 0 on average.")


def test_largest_and_smallest_errors_by_hand() -> None:
    """Of twelve rows, the ten with the largest and the ten with the smallest errors are listed in order."""
    errors = np.array([5, -1, 3, 0, -9, 2, 4, -6, 7, 8, -10, 1.5])
    rows = Predictions(np.zeros(12), errors[:, None], np.zeros((12, 1)), np.arange(100, 112))
    details = Regression().details(rows)
    assert [one["error"] for one in details["worst"]] == [-10, -9, 8, 7, -6, 5, 4, 3, 2, 1.5]
    assert [one["row"] for one in details["best"]][:3] == [103, 101, 111]
    assert details["worst"][0] == {"row": 110, "actual": 0, "predicted": -10, "error": -10}
