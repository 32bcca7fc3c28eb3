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


WORKED_IMAGE = [
    [18, 54, 51, 239, 244, 188],
    [55, 121, 75, 78, 95, 88],
    [35, 24, 204, 113, 109, 221],
    [3, 154, 104, 235, 25, 130],
    [15, 253, 225, 159, 78, 233],
    [68, 85, 180, 214, 245, 0],
]
DIAGONALS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]  # the first sum is 18 + 51 + 121 + 35 + 204
WORKED = [[429, 505, 686, 856], [261, 792, 412, 640], [633, 653, 851, 751], [608, 913, 713, 657]]


def _layers(image: Any, kernel: Any) -> Any:
    """Return the outputs of Keras' layers: the convolution, and the largest and the mean of each two by two."""
    from keras import layers

    x = np.array(image, dtype=np.float32)[None, :, :, None]
    convolution = layers.Conv2D(1, len(kernel), use_bias=False)
    convolution.build(x.shape)
    convolution.set_weights([np.array(kernel, dtype=np.float32)[:, :, None, None]])
    maps = convolution(x)
    pools = [layer(maps) for layer in (layers.MaxPooling2D(2), layers.AveragePooling2D(2))]
    return [np.asarray(values)[0, :, :, 0].tolist() for values in (maps, *pools)]


@pytest.mark.slow
def test_layers_of_keras_give_the_worked_example() -> None:
    """A published image of 6x6 and a kernel of 3x3 give these 16 sums, and these four after pooling."""
    assert convolve(np.array(WORKED_IMAGE, dtype=np.float32), np.array(DIAGONALS, dtype=np.float32)).tolist() == WORKED
    maps, largest, mean = run_in_process(_layers, WORKED_IMAGE, DIAGONALS)
    assert maps == WORKED
    assert largest == [[792, 856], [913, 851]]
    assert mean == [[496.75, 648.5], [701.75, 743]]


def _sizes(cases: list[tuple[int, int, int, int]]) -> list[int]:
    """Return the output side of Keras' layers for sides of image and kernel, padding, and stride."""
    from keras import layers

    sides = []
    for width, kernel, padding, stride in cases:
        x = layers.ZeroPadding2D(padding)(np.zeros((1, width, width, 1), dtype=np.float32))
        sides.append(int(layers.Conv2D(1, kernel, stride)(x).shape[1]))
    return sides


@pytest.mark.slow
def test_output_size_follows_the_formula() -> None:
    """O = floor((W - K + 2P) / S) + 1, also where the stride leaves pixels over."""
    cases = [(6, 3, 0, 1), (6, 3, 1, 1), (7, 3, 0, 2), (8, 3, 0, 2), (8, 3, 1, 2), (28, 5, 2, 1), (227, 11, 0, 4)]
    expected = [(w - k + 2 * p) // s + 1 for w, k, p, s in cases]
    assert expected == [4, 6, 3, 3, 4, 28, 55]
    assert run_in_process(_sizes, cases) == expected


def test_horizontal_and_vertical_kernels_tell_edges_apart() -> None:
    """Along an edge a kernel is silent; across it, it responds with the sign of the change."""
    step = np.zeros((6, 6), dtype=np.float32)
    step[3:] = 10  # dark above, bright below
    assert not convolve(step, VERTICAL).any()
    assert convolve(step, VERTICAL.T).tolist() == [[0] * 4, [-30] * 4, [-30] * 4, [0] * 4]
    assert convolve(step[::-1], VERTICAL.T).tolist() == [[0] * 4, [30] * 4, [30] * 4, [0] * 4]


@pytest.mark.slow
def test_pooling_halves_an_image() -> None:
    """The result is the maximum or the mean of four pixels."""
    image = np.array([[1, 3, 2, 4], [5, 7, 6, 8], [9, 2, 1, 0], [3, 4, 5, 6]], dtype=np.float32)
    largest, mean = run_in_process(_pooled, image.tolist(), 2)
    assert largest == [[7, 8], [9, 6]]
    assert mean == [[4, 5], [4.5, 3]]
