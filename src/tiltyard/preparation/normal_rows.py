"""Which rows are normal: training and validation rows are normal ones, test rows also hold labelled anomalies."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.sections import Split
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.preparation.modalities._normal_labels import ANOMALY, NORMAL, UNKNOWN
from tiltyard.preparation.split import Parts, SplitInputs, split_rows


def split_task(task: Task, inputs: SplitInputs, truth: Array, gap: int) -> Parts:
    """Return the row indices of each part; of a task that finds anomalies, with normal training rows."""
    if task.problem_type.targets != "anomaly":
        return split_rows(task.split, inputs, truth, gap)
    if task.target.column and not (truth == NORMAL).any():
        received = "only anomalies" if (truth == ANOMALY).any() else "no labels"
        raise DataError(
            f"target.normal: expected rows with the label {' or '.join(task.target.normal or ())} in "
            f"{task.target.column}; received {received}",
            hint="name the labels of normal rows in target.normal; without labels, remove target",
        )
    parts = split_rows(task.split, inputs, truth, gap)
    parts = _normal_only(task.split, parts, truth, inputs.key)
    if task.target.column:
        _require_both(truth[parts["test"]])
    return parts


def as_flags(truth: Array) -> Array:
    """Return 1 for anomalies and 0 for other rows."""
    return np.asarray(truth == ANOMALY, dtype=np.int64)


def _normal_only(split: Split, parts: Parts, truth: Array, key: Array) -> Parts:
    """Take anomalies out of training and validation rows, and rows without a label out of the test rows.

    Anomalies are rare: those of a random split of single rows become test rows, unless a normal row is identical.
    """
    learned = {name: parts[name][truth[parts[name]] <= NORMAL] for name in ("train", "validation")}
    test = parts["test"]
    if split.kind == "random" and not split.group:
        others = np.concatenate([parts[name] for name in learned])
        anomalies = others[truth[others] == ANOMALY]
        kept = np.concatenate([*learned.values()])
        test = np.sort(np.concatenate([test, anomalies[~np.isin(key[anomalies], key[kept])]]))
    return {**learned, "test": test[truth[test] != UNKNOWN]}


def _require_both(truth: Array) -> None:
    """Refuse test rows without anomalies, or without normal rows: they would tell nothing about scores."""
    anomalies = int((truth == ANOMALY).sum())
    if not 0 < anomalies < len(truth):
        received = f"{len(truth) - anomalies:,} normal rows and {anomalies:,} anomalies"
        raise DataError(
            f"split: expected labelled normal rows and anomalies among the test rows; received {received}",
            hint="use another split or more data; without labelled anomalies, remove target: then scores are served, "
            "and how well they find anomalies is not measured",
        )
