"""The metrics of each problem by hand, for outputs in the format of the problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators import classification, forecasting, generation, regression, translation
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.problems.translation import judged

ONE = np.array([1.0, 2.0, 5.0])
TWO = np.array([[1.0, 2.0], [3.0, 4.0]])
PREDICTED = TWO + np.array([[1.0, -3.0], [0.0, 2.0]])
TEXTS = np.array(["abcd", "ab", "a"])
CASES: list[tuple[dict[str, Metric], Array, Array, dict[str, Any]]] = [
    (
        regression.METRICS,
        ONE,
        np.array([[2.0], [0.0], [5.0]]),
        {"rmse": np.sqrt(5 / 3), "mae": 1, "r2": 1 - 5 / (78 / 9)},
    ),
    (forecasting.METRICS, TWO, PREDICTED, {"rmse": np.sqrt(14 / 4), "mae": 1.5, "mase": 0.75}),
    (
        forecasting.METRICS,
        TWO,
        np.stack([PREDICTED, PREDICTED - 9, PREDICTED + 9], axis=1),
        {"rmse": np.sqrt(14 / 4), "mae": 1.5, "mase": 0.75},
    ),
    (
        generation.METRICS,
        TEXTS[:2],
        np.array([[8 * np.log(2), 3, 4], [4 * np.log(2), 0, 2]]),
        {"perplexity": 4, "bits": 2, "accuracy": 0.5},
    ),
    (
        translation.METRICS,
        TEXTS,
        judged(["abcd", "", "bc"], TEXTS, "characters"),
        {"exact": 1 / 3, "error_rate": 4 / 7},
    ),
    (translation.METRICS, np.array([""]), judged(["ab"], np.array([""]), ""), {"exact": 0, "error_rate": 2}),
    (
        classification.METRICS,
        np.array([0, 0, 1, 1]),
        np.array([[0.2], [0.6], [0.9], [0.7]]),
        {
            "accuracy": 0.75,
            "balanced_accuracy": 0.75,
            "macro_f1": (2 / 3 + 0.8) / 2,
            "log_loss": -np.log([0.8, 0.4, 0.9, 0.7]).mean(),
            "brier": 2 * (0.04 + 0.36 + 0.01 + 0.09) / 4,
            "calibration_error": (0.2 + 0.6 + 0.1 + 0.3) / 4,
            "roc_auc": 1.0,
            "average_precision": 1.0,
            "recall_at_1pct_fpr": 1.0,
        },
    ),
]


@pytest.mark.parametrize(("metrics", "truth", "outputs", "expected"), CASES)
def test_metrics_by_hand(metrics: dict[str, Metric], truth: Array, outputs: Array, expected: dict[str, float]) -> None:
    """All metrics are included, also for two classes with one output, and for forecasts with intervals."""
    found = {name: one.score(truth, outputs, {"naive_mae": 2.0}) for name, one in metrics.items()}
    assert found == pytest.approx(expected)


RANKED = ("average_precision", "recall_at_1pct_fpr")


def test_metric_directions() -> None:
    """Errors, losses and perplexity are better if lower, all others if higher."""
    every = [classification.METRICS, regression.METRICS, forecasting.METRICS]
    every += [generation.METRICS, translation.METRICS]
    higher = {name for metrics in every for name, one in metrics.items() if one.higher_is_better}
    assert higher == {"accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "r2", "exact", *RANKED}
    assert regression.METRICS["r2"].gain(0.9, 0.5) == pytest.approx(0.4)
    assert regression.METRICS["rmse"].gain(0.9, 0.5) == pytest.approx(-0.4)
