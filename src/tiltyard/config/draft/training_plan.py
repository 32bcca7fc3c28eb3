"""Draft the sections `train` and `gate` of a task file, by the number of rows and the values of the target."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import Any


def train(rows: int, problem: str) -> dict[str, Any]:
    """Choose batches small enough for several steps per epoch, and so many epochs that patience ends the training."""
    usual = 16 if rows < 2000 else 32 if rows < 5000 else 128 if rows < 20_000 else 256
    batch = min(usual, max(1, 2 ** int(math.log2(max(1, rows * 0.25)))))
    plan = {"epochs": 200 if rows < 5000 else 100, "batch_size": batch, "learning_rate": 0.003, "patience": 15}
    labels = problem in ("classification", "multilabel")
    return {**plan, "schedule": "plateau", **({} if labels else {"clip_norm": 1.0})}


def gate(truth: list[Any], problem: str, target: dict[str, Any], *, outliers: bool = False) -> dict[str, Any]:
    """Choose the metric: accuracy only for classes of similar size, since it hides rare classes.

    If the target is learned by its logarithm or has outliers, the absolute error: a few large values would decide the
    squared one.
    """
    parts = target.get("columns", {"": target})
    log = any(part.get("log") for part in parts.values())
    if len(parts) > 1:  # numbers: in units of their spread
        return {"metric": "scaled_mae" if log else "scaled_rmse", "minimum_gain": 0.01}
    if problem == "regression" and (log or outliers):
        values = [float(str(cell)) for cell in truth]
        middle = statistics.median(values)
        mean = statistics.median if outliers else statistics.fmean
        spread = mean([abs(value - middle) for value in values])
        return {"metric": "mae", "minimum_gain": float(f"{spread / 100:.1g}")}
    if problem == "multilabel":  # many labels are too rare to be predicted with a probability of 50 %
        return {"metric": "average_precision", "minimum_gain": 0.005}
    if problem != "classification":
        return {
            "metric": "rmse",
            "minimum_gain": float(f"{statistics.pstdev(float(str(cell)) for cell in truth) / 100:.1g}"),
        }
    counts = Counter(map(str, truth))
    even = max(counts.values()) <= 1.5 * min(counts.values())
    metric = "accuracy" if even else "roc_auc" if len(counts) == 2 else "balanced_accuracy"
    return {"metric": metric, "minimum_gain": 0.005}
