"""Metrics equal those of scikit-learn, and examples calculated by hand."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tiltyard.arrays import Array
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.confusion_matrix import confusion

SEEDS = st.integers(0, 2**32 - 1)


def labels(seed: int, classes: int = 4, rows: int = 60) -> tuple[Array, Array]:
    """Generate true labels and probabilities with ties."""
    generator = np.random.default_rng(seed)
    shares = generator.integers(1, 6, (rows, classes)).astype(np.float64)
    truth = generator.permutation(np.arange(rows) % classes)
    return truth, shares / shares.sum(axis=1, keepdims=True)


@given(SEEDS)
def test_regression_metrics_equal_the_reference(seed: int) -> None:
    """MAE, MSE, RMSE and R2 equal those of scikit-learn."""
    truth, value = np.random.default_rng(seed).normal(size=(2, 30))
    assert scores.mae(truth, value) == pytest.approx(reference.mean_absolute_error(truth, value))
    assert scores.mse(truth, value) == pytest.approx(reference.mean_squared_error(truth, value))
    assert scores.rmse(truth, value) == pytest.approx(reference.root_mean_squared_error(truth, value))
    assert scores.r2(truth, value) == pytest.approx(reference.r2_score(truth, value))


@given(SEEDS, st.sampled_from([1e-300, 1e-200, 1e-146, 1.0, 1e150]))
def test_regression_metrics_do_not_depend_on_the_unit(seed: int, size: float) -> None:
    """Even if squares underflow, RMSE scales with the unit, and R2 stays the same."""
    truth, value = np.random.default_rng(seed).normal(size=(2, 30))
    assert scores.rmse(truth * size, value * size) / size == pytest.approx(scores.rmse(truth, value))
    assert scores.r2(truth * size, value * size) == pytest.approx(scores.r2(truth, value))


@pytest.mark.parametrize("size", [1e-200, 1.0])
def test_r2_of_a_constant_truth_is_1_or_0(size: float) -> None:
    """R2 is 1 for exact predictions, otherwise 0."""
    truth = np.full(4, 3 * size)
    assert scores.r2(truth, truth) == 1
    assert scores.r2(truth, truth + size) == 0


@given(SEEDS)
def test_classification_metrics_equal_the_reference(seed: int) -> None:
    """All metrics of the confusion matrix equal those of scikit-learn."""
    truth, shares = labels(seed)
    label = shares.argmax(axis=1)
    matrix = confusion(truth, label, 4)
    assert (matrix == reference.confusion_matrix(truth, label, labels=range(4))).all()
    assert scores.accuracy(matrix) == pytest.approx(reference.accuracy_score(truth, label))
    assert scores.balanced_accuracy(matrix) == pytest.approx(reference.balanced_accuracy_score(truth, label))
    assert scores.macro_f1(matrix) == pytest.approx(reference.f1_score(truth, label, average="macro"))


@given(SEEDS)
def test_probability_metrics_equal_the_reference(seed: int) -> None:
    """Log loss and one-vs-rest AUC equal those of scikit-learn, including ties."""
    truth, shares = labels(seed)
    assert scores.log_loss(truth, shares) == pytest.approx(reference.log_loss(truth, shares, labels=range(4)))
    assert scores.roc_auc(truth, shares) == pytest.approx(
        reference.roc_auc_score(truth, shares, multi_class="ovr", average="macro")
    )


def test_confusion_matrix_metrics_by_hand() -> None:
    """TP 90, FN 30, FP 10, TN 70: accuracy 80 %, TPR 75 %, FPR 12.5 %, precision 90 %, F .818."""
    matrix = np.array([[70, 10], [30, 90]])
    assert scores.accuracy(matrix) == 0.8
    assert scores.recall(matrix)[1] == 0.75
    assert 1 - scores.recall(matrix)[0] == 0.125
    assert scores.precision(matrix)[1] == 0.9
    assert scores.f1(matrix)[1] == pytest.approx(0.818, abs=0.0005)


def test_balanced_accuracy_reveals_missed_positives() -> None:
    """Of 100 patients 2 are sick and 1 is found: accuracy 99 %, mean recall 75 %."""
    matrix = np.array([[98, 0], [1, 1]])
    assert scores.accuracy(matrix) == 0.99
    assert scores.balanced_accuracy(matrix) == 0.75


def test_errors_of_the_mean_by_hand() -> None:
    """Six tips against their mean of 10: SSE 76, MSE 12.67, MAE 3.33."""
    truth = np.array([5, 7, 8, 12, 13, 15])
    assert scores.mse(truth, np.full(6, 10)) == pytest.approx(76 / 6)
    assert round(scores.mse(truth, np.full(6, 10)), 2) == 12.67
    assert round(scores.mae(truth, np.full(6, 10)), 2) == 3.33
    assert scores.r2(truth, np.full(6, 10)) == 0


def test_small_integers_do_not_overflow() -> None:
    """An error of 200 in 8-bit integers is 200."""
    assert scores.mse(np.zeros(2, np.uint8), np.full(2, 200, np.uint8)) == 40000


@given(arrays(np.float64, 12, elements=st.floats(-1e6, 1e6)))
def test_perfect_predictions_have_perfect_scores(truth: Array) -> None:
    """The truth has no error and an R2 of 1."""
    assert scores.rmse(truth, truth) == scores.mae(truth, truth) == 0
    assert scores.r2(truth, truth) == 1


@given(SEEDS)
def test_auc_is_invariant_to_monotone_changes(seed: int) -> None:
    """Only the order of scores matters."""
    truth, shares = labels(seed, classes=2)
    assert scores.roc_auc(truth, shares**3) == pytest.approx(scores.roc_auc(truth, shares))


def test_metrics_with_absent_classes_are_finite() -> None:
    """With rows of one class, only its recall counts, and AUC is 0.5."""
    truth, shares = np.zeros(5, np.int64), np.full((5, 3), 1 / 3)
    matrix = confusion(truth, shares.argmax(axis=1), 3)
    assert scores.balanced_accuracy(matrix) == scores.macro_f1(matrix) == 1
    assert scores.roc_auc(truth, shares) == 0.5


def test_log_loss_of_a_certain_mistake_is_finite() -> None:
    """A probability of zero for the true class gives a large but finite loss."""
    assert 30 < scores.log_loss(np.array([0]), np.array([[0.0, 1.0]])) < 40


def test_brier_score_by_hand() -> None:
    """A certain correct prediction has 0, a certain wrong one 2, and equal probabilities 0.5."""
    shares = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    truth = np.array([0, 1, 1])
    assert scores.brier(truth[:1], shares[:1]) == 0
    assert scores.brier(truth[1:2], shares[1:2]) == 2
    assert scores.brier(truth, shares) == pytest.approx((0 + 2 + 0.5) / 3)


def test_calibration_error_by_hand() -> None:
    """Ten predictions of 80 % have an error of 20 % if six are correct, and none if eight are."""
    shares = np.tile([0.8, 0.2], (10, 1))
    parts = np.repeat(shares, 10, axis=0)
    for right, error in ((6, 0.2), (8, 0.0)):
        truth = np.tile(np.arange(10) >= right, 10).astype(int)
        assert scores.ece(truth, parts) == pytest.approx(error)


def test_error_of_a_row_is_that_of_its_first_number_or_of_its_label() -> None:
    """Of several numbers the first counts; a sigmoid's output is the probability of the second label."""
    truth, value = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[4.0, 9.0], [0.0, 9.0]])
    assert scores.row_errors(truth, value, labels=False).tolist() == [3.0, 2.0]
    shares = np.array([[0.25, 0.75], [0.5, 0.5]])
    assert scores.row_errors(np.array([1, 0]), shares, labels=True).tolist() == [0.25, 0.5]
    assert scores.row_errors(np.array([1, 0]), np.array([[0.75], [0.25]]), labels=True).tolist() == [0.25, 0.25]
