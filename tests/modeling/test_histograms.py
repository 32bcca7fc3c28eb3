"""Histograms of colours and edges: any size of image, what changes them and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.models._histograms import counts, counts_by_place, histograms


def noise(height: int, width: int, channels: int, rows: int = 3) -> Array:
    """Return images of random pixels."""
    return np.random.default_rng(0).random((rows, height, width, channels), dtype=np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 2), (8, 8), (17, 40), (96, 70), (130, 129)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_have_finite_histograms(size: tuple[int, int], channels: int) -> None:
    """Features are finite float32, as many for each image, also for images of one colour and for single rows."""
    images = np.concatenate([noise(*size, channels), np.full((1, *size, channels), 0.25, dtype=np.float32)])
    rows = histograms(images, places=True)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert np.allclose(histograms(images[2:3], places=True), rows[2:3], atol=1e-5)


def test_counts_ignore_the_place_and_counts_by_place_do_not() -> None:
    """An image turned upside down has the same counts; only those by place differ."""
    half = np.zeros((1, 32, 32, 3), dtype=np.float32)
    half[:, :16, :, 0] = 1.0
    turned = half[:, ::-1]
    assert np.allclose(counts(half, np), counts(turned, np), atol=0.02)
    assert np.abs(counts_by_place(half, np) - counts_by_place(turned, np)).max() > 0.5


def test_colours_and_orientations_are_told_apart() -> None:
    """Red differs from blue of the same brightness, and upright stripes from level ones."""
    red, blue = (np.zeros((1, 16, 16, 3), dtype=np.float32) for _ in range(2))
    red[..., 0], blue[..., 2] = 1.0, 1.0
    assert np.abs(counts(red, np) - counts(blue, np)).max() > 0.9
    upright = np.tile(np.arange(16) % 4 // 2, (16, 1)).astype(np.float32)[None, :, :, None]
    assert np.abs(counts(upright, np) - counts(upright.swapaxes(1, 2), np)).max() > 0.3


def test_a_little_noise_changes_little() -> None:
    """Histograms do not jump: a hundredth of a grey level changes no feature by more than a hundredth."""
    images = noise(24, 24, 3)
    assert np.abs(histograms(images + 4e-5, places=True) - histograms(images, places=True)).max() < 0.01
