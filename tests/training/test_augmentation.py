"""Augmentation: each setting changes training images as documented, keeps their range, and is off elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.config.train_section import Augment

pytestmark = pytest.mark.slow

SETTINGS: dict[str, Any] = {
    "crop": 3,
    "rotation": 40,
    "shift": 0.3,
    "zoom": 0.4,
    "flip": "both",
    "brightness": 0.3,
    "contrast": 0.5,
    "saturation": 0.8,
    "hue": 0.6,
    "noise": 0.1,
    "erasing": 0.25,
    "shear": 30,
    "channel_shift": 0.2,
    "blur": 2.0,
    "sharpen": 3.0,
    "overlay": 0.4,
}


def _images() -> Array:
    """Return random colour images without black pixels."""
    return np.random.default_rng(0).uniform(30, 220, (64, 12, 12, 3)).astype(np.float32)


def _augmented(settings: dict[str, Any]) -> dict[str, list[Array]]:
    """Return the images augmented by each setting alone: in training, again, in a new run, and outside training."""
    from tiltyard.training.augmentation import augmentation

    results = {}
    for name, value in settings.items():
        stack, again = (augmentation(Augment.model_validate({name: value}), seed=5) for _ in range(2))
        runs = [stack(_images(), training=True), stack(_images(), training=True)]
        runs += [again(_images(), training=True), stack(_images(), training=False)]
        results[name] = [np.asarray(run) for run in runs]
    return results


@pytest.fixture(scope="module")
def augmented() -> dict[str, list[Array]]:
    """The images augmented by each setting alone."""
    results: dict[str, list[Array]] = run_in_process(_augmented, SETTINGS)
    return results


@pytest.mark.parametrize("name", SETTINGS)
def test_images_change_in_training_only(augmented: dict[str, list[Array]], name: str) -> None:
    """Each call gives other images of the same shape and range, repeated by a seed, and none outside training."""
    first, second, again, outside = augmented[name]
    assert first.shape == second.shape == _images().shape
    assert 0 <= min(first.min(), second.min()) <= max(first.max(), second.max()) <= 255.001
    assert not np.allclose(first, _images())
    assert not np.allclose(first, second)
    assert np.array_equal(first, again)
    assert np.array_equal(outside, _images())


def test_every_setting_is_tested() -> None:
    """A new setting must be added to this test."""
    assert {*SETTINGS, "mixup"} == {*Augment.model_fields}


def test_crop_is_a_window_of_the_padded_image(augmented: dict[str, list[Array]]) -> None:
    """Each image is moved by whole pixels, at most by the requested number, and by different offsets."""
    padded = np.pad(_images(), ((0, 0), (3, 3), (3, 3), (0, 0)))
    offsets = []
    for source, result in zip(padded, augmented["crop"][0], strict=True):
        found = [(y, x) for y in range(7) for x in range(7) if np.array_equal(source[y : y + 12, x : x + 12], result)]
        offsets += found
    assert len(offsets) == 64
    assert {y for y, _ in offsets} == {x for _, x in offsets} == set(range(7))


def test_colour_changes_preserve_grey_hue_extremes_and_differences(augmented: dict[str, list[Array]]) -> None:
    """Saturation keeps the grey value of a pixel, hue its extreme channels, and brightness its colour differences."""
    before, grey = _images(), np.array([0.299, 0.587, 0.114])
    saturated = augmented["saturation"][0]
    inside = ((saturated > 0) & (saturated < 255)).all(axis=-1)
    assert np.allclose((saturated @ grey)[inside], (before @ grey)[inside], atol=0.1)
    for end in (np.max, np.min):
        assert np.allclose(end(augmented["hue"][0], axis=-1), end(before, axis=-1), atol=0.1)
    lit = augmented["brightness"][0]
    inside = ((lit > 0) & (lit < 255)).all(axis=-1)
    assert np.allclose(np.diff(lit)[inside], np.diff(before)[inside], atol=0.1)


def test_noise_and_erased_patches_have_the_requested_size(augmented: dict[str, list[Array]]) -> None:
    """Noise has the set deviation; half of the images get a black patch of at most the set share."""
    assert (augmented["noise"][0] - _images()).std() == pytest.approx(25.5, rel=0.1)
    black = (augmented["erasing"][0] == 0).all(axis=-1).mean(axis=(1, 2))
    assert 0.3 < (black > 0).mean() < 0.7
    assert black.max() <= 0.25 + 0.08  # whole pixels


def _sheared() -> Array:
    from tiltyard.training.image_layers import shear

    picture = np.zeros((1, 3, 5, 1), dtype=np.float32)
    picture[0, :, 2] = 100.0
    return np.asarray([shear(picture, slope)[0, ..., 0] for slope in (1.0, -1.0, 0.5)])


def test_shear_of_a_known_picture() -> None:
    """A vertical line leans by one pixel a row about its centre; by half a pixel, its light is shared by two."""
    right, left, half = run_in_process(_sheared)
    assert right.tolist() == [[0, 0, 0, 100, 0], [0, 0, 100, 0, 0], [0, 100, 0, 0, 0]]
    assert left.tolist() == [[0, 100, 0, 0, 0], [0, 0, 100, 0, 0], [0, 0, 0, 100, 0]]
    assert half.tolist() == [[0, 0, 50, 50, 0], [0, 0, 100, 0, 0], [0, 50, 50, 0, 0]]


def _blurred() -> list[Array]:
    from tiltyard.training.image_layers import blur

    images, point = _images(), np.zeros((1, 9, 9, 1), dtype=np.float32)
    point[0, 4, 4] = 100.0
    return [np.asarray(image) for image in (blur(images, 1.5, 2.0), blur(point, 1.0, 1.0), blur(images, 0.0, 2.0))]


def test_blur_keeps_the_mean() -> None:
    """The mean of each channel stays, a point becomes a Gaussian, and a deviation of 0 changes nothing."""
    blurred, point, unchanged = run_in_process(_blurred)
    assert np.allclose(blurred.mean(axis=(1, 2)), _images().mean(axis=(1, 2)), rtol=1e-5)
    assert blurred.std() < 0.4 * _images().std()
    assert point.sum() == pytest.approx(100, rel=1e-5)
    assert point[0, 4, 4, 0] == pytest.approx(100 / (2 * np.pi), rel=0.01)
    assert point[0, 4, 5, 0] / point[0, 4, 4, 0] == pytest.approx(np.exp(-0.5), rel=1e-5)
    assert np.allclose(unchanged, _images(), atol=1e-3)


def _sharpened() -> list[Array]:
    from tiltyard.training.image_layers import Sharpen

    constant, edge = np.full((4, 6, 6, 1), 90.0, dtype=np.float32), np.full((4, 6, 6, 1), 90.0, dtype=np.float32)
    edge[:, :, 3:] = 160.0
    return [np.asarray(Sharpen(1.0, 0)(images, training=True)) for images in (constant, edge)]


def test_sharpening_changes_edges_only() -> None:
    """A constant picture stays; beside an edge the dark side gets darker and the light side lighter."""
    constant, edge = run_in_process(_sharpened)
    assert np.allclose(constant, 90, atol=1e-3)
    assert (edge[:, :, 2] < 90).all()
    assert (edge[:, :, 3] > 160).all()


def test_channels_are_shifted_apart_and_overlays_are_of_the_batch(augmented: dict[str, list[Array]]) -> None:
    """Each channel moves by one number of its own; an overlaid image is a mean of two images of the batch."""
    moved = augmented["channel_shift"][0] - _images()
    moved = np.where((augmented["channel_shift"][0] > 0) & (augmented["channel_shift"][0] < 255), moved, np.nan)
    offsets = np.nanmean(moved, axis=(1, 2))
    assert np.nanmax(np.abs(moved - offsets[:, None, None])) < 1e-2
    assert np.abs(offsets).max() <= 0.2 * 255 + 0.01
    assert np.ptp(offsets, axis=1).max() > 10
    added = (augmented["overlay"][0] - _images()).reshape(64, -1)
    flat = _images().reshape(64, -1)
    for row, change in zip(flat, added, strict=True):
        others = flat - row
        shares = (others @ change) / np.maximum((others**2).sum(axis=1), 1e-9)
        rest = ((change - shares[:, None] * others) ** 2).sum(axis=1)
        assert rest.min() < 1e-3 * max(1.0, (change**2).sum())
        assert 0 <= shares[rest.argmin()] < 0.4 + 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shear": 61}, "less than or equal to 60"),
        ({"channel_shift": 1.5}, "less than or equal to 1"),
        ({"blur": -1}, "greater than or equal to 0"),
        ({"sharpen": 6}, "less than or equal to 5"),
        ({"overlay": 0.5}, "less than 0.5"),
    ],
)
def test_values_out_of_bounds_are_refused(settings: dict[str, Any], message: str) -> None:
    """More than these would leave little of the image."""
    with pytest.raises(ValueError, match=message):
        Augment.model_validate(settings)
