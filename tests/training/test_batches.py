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
    batches.BLOCK, batches.POOL = 16, 200 * 12
    assert (mixed := batches.Batches(_parts(features), 32, 3, 0.2)).fed() is mixed
    sources: dict[str, Any] = {"memory": features, "file": array_file.ArrayFile(path, "features")}
    return {
        kind: _epochs(batches.Batches(_parts(source_features), 32, seed), features, seed)
        for kind, source_features in sources.items()
    }


def _parts(features: Any) -> Any:
    return features, np.arange(ROWS), np.ones(ROWS)


def _epochs(data: Batches, features: Array, seed: int | None) -> list[list[int]]:
    first_batches = [data[index] for index in (0, 1)]
    orders, prepared = [], data.fed()
    assert (prepared is data) == (not isinstance(data.features, np.ndarray))
    for epoch in (0, 1, 0):
        if seed is not None:
            data.deal(epoch)
        drawn = [data[index] for index in range(len(data))]
        for batch, prepared_batch in zip(drawn, prepared, strict=True):
            assert all(
                np.array_equal(own_array, prepared_array)
                for own_array, prepared_array in zip(batch, prepared_batch, strict=True)
            )
        assert [len(batch[0]) for batch in drawn] == [32] * 31 + [8]
        for batch in drawn:
            np.testing.assert_array_equal(batch[0], features[batch[1]])
            assert len(batch[2]) == len(batch[1])
        orders.append(np.concatenate([batch[1] for batch in drawn]).tolist())
    assert np.array_equal(first_batches[1][1], orders[0][32:64])
    return orders


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 3])
def test_every_row_is_drawn_once_per_epoch(tmp_path: Path, seed: int | None) -> None:
    """Epochs of one number have the same order, others differ; without a seed rows keep the order of the file.

    TensorFlow receives the same batches; from a file they are read one by one.
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
