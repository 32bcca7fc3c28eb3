"""Parts of the prepared rows: mapped into memory, so that processes that train at the same time share them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.preparation import array_file


def _stored(path: Path, **arrays: Array) -> None:
    with array_file.npz_writer(path) as write:
        for name, array in arrays.items():
            write(name, len(array), [array])


@pytest.mark.parametrize("truth", [np.arange(7), np.array(["one", "three"]), np.zeros(0, np.int32)])
@pytest.mark.parametrize(
    ("write", "shared"), [(_stored, True), (np.savez, True), (np.savez_compressed, False)], ids=["own", "npz", "packed"]
)
def test_part_is_mapped_or_read(tmp_path: Path, write: Callable[..., Any], shared: bool, truth: Array) -> None:
    """The arrays are those that were written; what cannot be mapped, compressed or empty, is read."""
    path = tmp_path / "train.npz"
    write(path, features=np.arange(12, dtype=np.float32).reshape(4, 3), truth=truth)
    features, found = array_file.open_part(path)
    np.testing.assert_array_equal(features[:], np.arange(12).reshape(4, 3))
    np.testing.assert_array_equal(found, truth)
    assert found.dtype == truth.dtype
    assert type(features) is np.ndarray
    assert isinstance(features.base, np.memmap) == shared


def test_mapped_rows_stay_when_the_file_is_replaced(tmp_path: Path) -> None:
    """A training goes on with the rows that it opened, also if they are prepared again meanwhile."""
    path = tmp_path / "train.npz"
    _stored(path, features=np.ones((3, 2)), truth=np.ones(3))
    features, _ = array_file.open_part(path)
    _stored(other := tmp_path / "other.npz", features=np.zeros((3, 2)), truth=np.zeros(3))
    other.replace(path)
    assert features[:].tolist() == [[1, 1]] * 3
