"""Folds: every row held out once, none in two parts, identical rows together, time never turned back."""

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


def test_every_row_is_held_out_once_and_labels_are_spread() -> None:
    """Over all folds each row is held out once; in each, the three parts share nothing and hold all labels alike."""
    chance = np.random.default_rng(0)
    features, truth = chance.normal(size=(150, 4)).astype(np.float32), np.repeat([0, 1, 2], 50)
    dealt = list(cross_validation._folds(_task("iris", 5), features, truth))
    assert sorted(np.concatenate([held for _, _, held in dealt])) == list(range(150))
    for parts in dealt:
        assert sorted(np.concatenate(parts)) == list(range(150))
        train, stop, held = (np.bincount(truth[part], minlength=3) for part in parts)
        assert held.tolist() == [10, 10, 10]
        assert stop.min() >= 8
        assert train.min() >= 28


def test_identical_rows_are_never_parted() -> None:
    """A row that is there three times is in one part with its copies: else it would be judged by what it taught."""
    features = np.repeat(np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32), 3, axis=0)
    part = np.empty(180, dtype=int)
    for parts in cross_validation._folds(_task("iris", 4), features, np.repeat([0, 1, 2], 60)):
        for number, rows in enumerate(parts):
            part[rows] = number
        assert (part.reshape(60, 3) == part[::3, None]).all()


def test_series_are_held_out_block_by_block_behind_what_is_known() -> None:
    """Training ends before stopping rows, those before the held ones, with a window's reach between."""
    features, truth = np.zeros((600, 32, 1), dtype=np.float32), np.zeros(600)
    last = 0
    for train, stop, held in cross_validation._folds(_task("sine", 4), features, truth):
        assert train[0] == 0
        assert train[-1] + 32 <= stop[0]
        assert stop[-1] + 32 <= held[0]
        assert held[0] >= last
        last = held[-1] + 1
    assert last == 600


def test_too_few_rows_are_refused() -> None:
    """A fold without rows to train with is no fold."""
    with pytest.raises(DataError, match="expected rows for every part of 5 folds; received 7 rows"):
        list(
            cross_validation._folds(
                _task("iris", 5), np.arange(28, dtype=np.float32).reshape(7, 4), np.array([0, 0, 1, 1, 2, 2, 2])
            )
        )
