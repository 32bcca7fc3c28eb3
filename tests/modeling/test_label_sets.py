"""Metrics of rows with any number of labels, compared with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators.multilabel import METRICS, Multilabel
from tiltyard.modeling.metrics import label_sets
from tiltyard.modeling.metrics.predictions import Predictions

Score = Callable[[Array, Array], float]
EXPECTED: dict[str, Score] = {
    "micro_f1": lambda truth, shares: metrics.f1_score(truth, shares >= 0.5, average="micro"),
    "macro_f1": lambda truth, shares: metrics.f1_score(truth, shares >= 0.5, average="macro", zero_division=np.nan),
    "average_precision": lambda truth, shares: metrics.average_precision_score(truth, shares, average="macro"),
    "roc_auc": lambda truth, shares: metrics.roc_auc_score(truth, shares, average="macro"),
    "hamming_loss": lambda truth, shares: metrics.hamming_loss(truth, shares >= 0.5),
    "subset_accuracy": lambda truth, shares: metrics.accuracy_score(truth, shares >= 0.5),
    "log_loss": lambda truth, shares: np.mean(
        [metrics.log_loss(y, p, labels=[False, True]) for y, p in zip(truth.T, shares.T, strict=True)]
    ),
}


def drawn(seed: int, rows: int = 60) -> tuple[Array, Array]:
    """Return flags and probabilities with many ties; each label has some row, and the last is hardly ever predicted."""
    dice = np.random.default_rng(seed)
    shares = dice.integers(1, 20, size=(rows, 5)) / 20
    shares[:, 4] /= 2
    truth = dice.random((rows, 5)) < shares
    truth[0] = True
    return truth, shares


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", EXPECTED)
def test_metrics_are_those_of_scikit_learn(name: str, seed: int) -> None:
    """Every metric of the evaluator has the value of scikit-learn, in 64 and in 32 bits."""
    truth, shares = drawn(seed)
    assert METRICS[name].score(truth, shares, {}) == pytest.approx(EXPECTED[name](truth, shares), rel=1e-12)
    single = shares.astype(np.float32)
    assert METRICS[name].score(truth, single, {}) == pytest.approx(EXPECTED[name](truth, single), rel=1e-5)


def test_every_metric_is_compared() -> None:
    """No metric is left out of the test above."""
    assert EXPECTED.keys() == METRICS.keys()


@pytest.mark.parametrize("name", METRICS)
def test_rows_without_labels_have_finite_scores(name: str) -> None:
    """If no row has a label and none is predicted, decisions are right and ratios are 0."""
    score = METRICS[name].score(np.zeros((7, 3), dtype=bool), np.zeros((7, 3)), {})
    assert score == {"subset_accuracy": 1.0, "roc_auc": 0.5}.get(name, 0.0)


def test_a_label_without_rows_counts_as_in_classification() -> None:
    """It is left out of the mean F1 unless it is predicted, and its average precision is 0, as in scikit-learn."""
    truth, shares = drawn(0)
    without = np.concatenate([truth, np.zeros((60, 1), dtype=bool)], axis=1)
    more = np.concatenate([shares, np.full((60, 1), 0.1)], axis=1)
    assert label_sets.macro_f1(without, more) == label_sets.macro_f1(truth, shares)
    precisions = label_sets.average_precisions(without, more)
    assert np.isnan(precisions[-1])
    assert label_sets.average_precision(without, more) == pytest.approx(precisions[:-1].sum() / 6)


def test_table_by_label_is_that_of_scikit_learn() -> None:
    """Precision, recall, F1 and support of each label; a ratio without rows is null."""
    truth, shares = drawn(1)
    evaluated = Predictions(truth, shares, shares, np.arange(60), ["a", "b", "c", "d", "e"])
    table = Multilabel().details(evaluated)["per_label"]
    expected = metrics.precision_recall_fscore_support(truth, shares >= 0.5, zero_division=np.nan)
    for place, (record, *values) in enumerate(zip(table, *expected, strict=True)):
        assert record["label"] == "abcde"[place]
        for name, value in zip(("precision", "recall", "f1", "rows"), values, strict=True):
            assert record[name] == (None if np.isnan(value) else pytest.approx(value))


def test_baseline_predicts_label_frequencies() -> None:
    """Every row gets the share of the training rows that have each label."""
    truth, _ = drawn(2)
    assert np.array_equal(Multilabel().baseline(truth, {"x": np.zeros(3)}, "micro_f1"), [truth.mean(axis=0)] * 3)
