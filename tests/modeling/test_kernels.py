"""Convolution and pooling by hand, beside what Keras makes of them: the arithmetic that pictures are read by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array

VERTICAL = np.array([[1, 0, -1]] * 3, dtype=np.float32)  # bright on the left, dark on the right
EDGES = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], dtype=np.float32)  # any change at all


def convolved(picture: Array, kernel: Array, stride: int = 1, padding: int = 0) -> Array:
    """Slide the kernel over the picture, a product and a sum a place."""
    padded = np.pad(picture, padding)
    size = kernel.shape[0]
    side = (picture.shape[0] - size + 2 * padding) // stride + 1
    found = np.zeros((side, side), dtype=np.float32)
    for row in range(side):
        for column in range(side):
            part = padded[row * stride : row * stride + size, column * stride : column * stride + size]
            found[row, column] = (part * kernel).sum()
    return found


def _by_keras(picture: Any, kernel: Any, stride: int, padding: int) -> Any:
    from keras import ops

    x = np.pad(np.array(picture, dtype=np.float32), padding)[None, :, :, None]
    return np.asarray(ops.conv(x, np.array(kernel, dtype=np.float32)[:, :, None, None], stride, "valid"))[
        0, :, :, 0
    ].tolist()


def _pooled(picture: Any, size: int) -> Any:
    from keras import ops

    x = np.array(picture, dtype=np.float32)[None, :, :, None]
    return [np.asarray(pool(x, size, size))[0, :, :, 0].tolist() for pool in (ops.max_pool, ops.average_pool)]


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)])
def test_keras_convolves_as_arithmetic_does(stride: int, padding: int) -> None:
    """The kernel is not turned round; a side has (W - K + 2P) / S + 1 places, rounded down."""
    picture = np.arange(36, dtype=np.float32).reshape(6, 6) % 7
    kernel = np.array([[1, 2, 3], [0, -1, 4], [5, 0, -2]], dtype=np.float32)
    expected = convolved(picture, kernel, stride, padding)
    assert expected.shape[0] == (6 - 3 + 2 * padding) // stride + 1
    received = run_in_process(_by_keras, picture.tolist(), kernel.tolist(), stride, padding)
    np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_kernels_find_what_they_are_made_for() -> None:
    """A vertical edge answers to the vertical kernel alone; a plain picture to none."""
    picture = np.zeros((6, 6), dtype=np.float32)
    picture[:, :3] = 10
    assert convolved(picture, VERTICAL).tolist() == [[0, 30, 30, 0]] * 4
    assert not convolved(picture, VERTICAL.T).any()
    assert convolved(picture.T, VERTICAL.T).T.tolist() == [[0, 30, 30, 0]] * 4
    assert convolved(picture, EDGES).tolist() == [[0, 30, -30, 0]] * 4
    assert not convolved(np.full((6, 6), 7, dtype=np.float32), EDGES).any()


@pytest.mark.slow
def test_pooling_halves_a_picture() -> None:
    """The largest of four, or their mean."""
    picture = np.array([[1, 3, 2, 4], [5, 7, 6, 8], [9, 2, 1, 0], [3, 4, 5, 6]], dtype=np.float32)
    largest, mean = run_in_process(_pooled, picture.tolist(), 2)
    assert largest == [[7, 8], [9, 6]]
    assert mean == [[4, 5], [4.5, 3]]
