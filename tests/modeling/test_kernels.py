"""Convolution and pooling by hand, compared with Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array

VERTICAL = np.array([[1, 0, -1]] * 3, dtype=np.float32)  # bright on the left, dark on the right
EDGES = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], dtype=np.float32)  # any change


def convolve(image: Array, kernel: Array, stride: int = 1, padding: int = 0) -> Array:
    """Return the convolution as a sum of products at each position."""
    padded = np.pad(image, padding)
    size = kernel.shape[0]
    side = (image.shape[0] - size + 2 * padding) // stride + 1
    found = np.zeros((side, side), dtype=np.float32)
    for row in range(side):
        for column in range(side):
            part = padded[row * stride : row * stride + size, column * stride : column * stride + size]
            found[row, column] = (part * kernel).sum()
    return found


def _by_keras(image: Any, kernel: Any, stride: int, padding: int) -> Any:
    from keras import ops

    x = np.pad(np.array(image, dtype=np.float32), padding)[None, :, :, None]
    return np.asarray(ops.conv(x, np.array(kernel, dtype=np.float32)[:, :, None, None], stride, "valid"))[
        0, :, :, 0
    ].tolist()


def _pooled(image: Any, size: int) -> Any:
    from keras import ops

    x = np.array(image, dtype=np.float32)[None, :, :, None]
    return [np.asarray(pool(x, size, size))[0, :, :, 0].tolist() for pool in (ops.max_pool, ops.average_pool)]


@pytest.mark.slow
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 1), (2, 0), (2, 1), (3, 2)])
def test_keras_convolution_matches_the_formula(stride: int, padding: int) -> None:
    """The kernel is not rotated; the output size is (W - K + 2P) / S + 1, rounded down."""
    image = np.arange(36, dtype=np.float32).reshape(6, 6) % 7
    kernel = np.array([[1, 2, 3], [0, -1, 4], [5, 0, -2]], dtype=np.float32)
    expected = convolve(image, kernel, stride, padding)
    assert expected.shape[0] == (6 - 3 + 2 * padding) // stride + 1
    received = run_in_process(_by_keras, image.tolist(), kernel.tolist(), stride, padding)
    np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_edge_kernels_detect_edges() -> None:
    """Only the vertical kernel responds to a vertical edge; a uniform image gives zero."""
    image = np.zeros((6, 6), dtype=np.float32)
    image[:, :3] = 10
    assert convolve(image, VERTICAL).tolist() == [[0, 30, 30, 0]] * 4
    assert not convolve(image, VERTICAL.T).any()
    assert convolve(image.T, VERTICAL.T).T.tolist() == [[0, 30, 30, 0]] * 4
    assert convolve(image, EDGES).tolist() == [[0, 30, -30, 0]] * 4
    assert not convolve(np.full((6, 6), 7, dtype=np.float32), EDGES).any()


@pytest.mark.slow
def test_pooling_halves_an_image() -> None:
    """The result is the maximum or the mean of four pixels."""
    image = np.array([[1, 3, 2, 4], [5, 7, 6, 8], [9, 2, 1, 0], [3, 4, 5, 6]], dtype=np.float32)
    largest, mean = run_in_process(_pooled, image.tolist(), 2)
    assert largest == [[7, 8], [9, 6]]
    assert mean == [[4, 5], [4.5, 3]]
