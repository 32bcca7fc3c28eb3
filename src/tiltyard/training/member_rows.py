"""Training rows of each member of an ensemble: all of them, a bootstrap sample, or all but one fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.row_ranks import rank


def rows_by_member(task: Task, parts: TrainingRows, count: int) -> Iterator[TrainingRows]:
    """Yield the rows of each member, one at a time; all members have the same validation rows."""
    kind, (features, truth) = task.train.member_rows, parts.train
    if kind != "all" and not isinstance(features, np.ndarray):
        raise DataError(
            f"train.member_rows: expected all, since the rows do not fit into memory; received {kind}",
            hint="remove train.member_rows: with so many rows, members differ by their seeds",
        )
    for number in range(count):
        if kind == "all" or not isinstance(features, np.ndarray):
            yield parts
            continue
        chosen = _bootstrap(task, truth, number) if kind == "bootstrap" else _without_fold(task, parts, number, count)
        if not len(chosen):
            raise DataError(f"train.member_rows: expected rows for each of {count} members; received {len(truth)} rows")
        digest = f"{parts.digest} {kind} {number + 1} of {count}"
        yield dataclasses.replace(parts, train=(features[chosen], truth[chosen]), digest=digest)


def _bootstrap(task: Task, truth: Array, number: int) -> Array:
    """Draw as many rows as there are, with replacement; of each label as many as it has, so that none is missing."""
    generator = np.random.default_rng([task.train.seed, number])
    if not task.classes:
        return generator.integers(0, len(truth), len(truth))
    strata = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    return np.concatenate([generator.choice(stratum, len(stratum)) for stratum in strata])


def _without_fold(task: Task, parts: TrainingRows, number: int, count: int) -> Array:
    """Return all rows but those of one fold: a block in time, or rows at random with equal shares of each label."""
    features, truth = parts.train[0][:], parts.train[1]
    if task.split.kind == "chronological":
        fold = np.arange(len(truth)) * count // len(truth)
    else:
        strata = truth if task.classes else np.zeros(len(truth), dtype=np.int64)
        fold = rank(features, strata, task.train.seed) % count
    return np.flatnonzero(fold != number)
