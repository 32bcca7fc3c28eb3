"""Batches: every row once per epoch, in an order that depends on seed and epoch, from memory or from a file."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array

if TYPE_CHECKING:
    from tiltyard.training.batches import Batches

ROWS = 1000


def _orders(path: Path, seed: int | None) -> dict[str, list[list[int]]]:
    """Draw the epochs 0, 1 and 0 from memory and from a file; return the order of rows in each."""
    from tiltyard.preparation import array_file
    from tiltyard.training import batches

    features = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
    with array_file.npz_writer(path) as write:
        write("features", ROWS, [features])
    batches.BLOCK, batches.POOL, batches.ASSEMBLED = 16, 200 * 12, 3 * 32 * 12
    sources: dict[str, Any] = {"memory": features, "file": array_file.ArrayFile(path, "features")}
    assert [batches.Batches(_parts(rows), 32, 3, mixup).all_rows is None for rows, mixup in _ways(sources)] == [
        0,
        1,
        1,
        1,
    ]
    return {
        kind: _epochs(batches.Batches(_parts(source_features), 32, seed), features, seed)
        for kind, source_features in sources.items()
    }


def _ways(sources: dict[str, Any]) -> list[tuple[Any, float]]:
    return [(rows, mixup) for mixup in (0.0, 0.2) for rows in sources.values()]


def _parts(features: Any) -> Any:
    return features, np.arange(ROWS), np.ones(ROWS)


def _epochs(data: Batches, features: Array, seed: int | None) -> list[list[int]]:
    first_batches = [data[index] for index in (0, 1)]
    orders = []
    for epoch in (0, 1, 0):
        if seed is not None:
            data.deal(epoch)
        drawn = [data[index] for index in range(len(data))]
        _compare_assembled(data, drawn)
        assert [len(batch[0]) for batch in drawn] == [32] * 31 + [8]
        for batch in drawn:
            np.testing.assert_array_equal(batch[0], features[batch[1]])
            assert len(batch[2]) == len(batch[1])
        orders.append(np.concatenate([batch[1] for batch in drawn]).tolist())
    assert np.array_equal(first_batches[1][1], orders[0][32:64])
    return orders


def _compare_assembled(data: Batches, drawn: list[tuple[Array, ...]]) -> None:
    """Compare the rows that the compiled loop gets with the batches: three at a time, the last alone."""
    found = list(data.assembled())
    assert [len(rows.order) for rows in found] == [96] * 10 + [40]
    for place, whole in enumerate(zip(*drawn, strict=True)):
        parts = [rows.arrays[place][rows.order] for rows in found]
        np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(whole))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 3])
def test_every_row_is_drawn_once_per_epoch(tmp_path: Path, seed: int | None) -> None:
    """Epochs of one number have the same order, others differ; without a seed rows keep the order of the file.

    The compiled loop gets the same batches, several at a time.
    """
    found = run_in_process(_orders, tmp_path / "train.npz", seed)
    for first, second, again in found.values():
        assert sorted(first) == list(range(1000))
        assert first == again
        assert (first == second) == (seed is None)
        assert (first == sorted(first)) == (seed is None)
    if seed is not None:  # neighbours in the file are not neighbours in a batch
        order = found["file"][0]
        assert sum(abs(one - other) == 1 for one, other in itertools.pairwise(order)) < 50
