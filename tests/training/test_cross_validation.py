"""Folds: each row is held out once and is in one part, identical rows stay together, and time order is kept."""

from __future__ import annotations

import numpy as np
import pytest
from workspaces import ROOT

from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.training import cross_validation
from tiltyard.workspace import Workspace


def _task(name: str, count: int) -> Task:
    task = loader.load(Workspace(ROOT), name)
    return task.model_copy(update={"train": task.train.model_copy(update={"folds": count})})


def test_every_row_is_held_out_once_with_balanced_labels() -> None:
    """Over all folds each row is held out once; in each fold the three parts are disjoint and have balanced labels."""
    rng = np.random.default_rng(0)
    features, truth = rng.normal(size=(150, 4)).astype(np.float32), np.repeat([0, 1, 2], 50)
    folds = list(cross_validation._folds(_task("iris", 5), features, truth))
    assert sorted(np.concatenate([held_out_rows for _, _, held_out_rows in folds])) == list(range(150))
    for parts in folds:
        assert sorted(np.concatenate(parts)) == list(range(150))
        train, stop, held_out_rows = (np.bincount(truth[part], minlength=3) for part in parts)
        assert held_out_rows.tolist() == [10, 10, 10]
        assert stop.min() >= 8
        assert train.min() >= 28


def test_identical_rows_are_in_the_same_part() -> None:
    """All copies of a row are in one part; otherwise the model would be evaluated on training rows."""
    features = np.repeat(np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), 3, axis=0)
    part = np.empty(180, dtype=int)
    for parts in cross_validation._folds(_task("iris", 4), features, np.repeat([0, 1, 2], 60)):
        for number, rows in enumerate(parts):
            part[rows] = number
        assert (part.reshape(60, 3) == part[::3, None]).all()


def test_series_are_held_out_in_blocks_after_training_rows() -> None:
    """Training rows precede stopping rows, and these precede held-out rows, with a window's length between."""
    features, truth = np.zeros((600, 32, 1), dtype=np.float32), np.zeros(600)
    last = 0
    for train, stop, held_out_rows in cross_validation._folds(_task("sine", 4), features, truth):
        assert train[0] == 0
        assert train[-1] + 32 <= stop[0]
        assert stop[-1] + 32 <= held_out_rows[0]
        assert held_out_rows[0] >= last
        last = held_out_rows[-1] + 1
    assert last == 600


def test_too_few_rows_are_refused() -> None:
    """A fold without training rows is refused."""
    with pytest.raises(DataError, match="expected rows for every part of 5 folds; received 7 rows"):
        list(
            cross_validation._folds(
                _task("iris", 5), np.arange(28, dtype=np.float32).reshape(7, 4), np.array([0, 0, 1, 1, 2, 2, 2])
            )
        )
