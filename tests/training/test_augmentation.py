"""Augmentation: each change does what it says to training pictures, stays in their range, and is off elsewhere."""

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
}


def _pictures() -> Array:
    """Draw pictures that are nowhere black, with colours of their own."""
    return np.random.default_rng(0).uniform(30, 220, (64, 12, 12, 3)).astype(np.float32)


def _changed(settings: dict[str, Any]) -> dict[str, list[Array]]:
    """Return what each change alone makes of the pictures: in training, again, as a new run, and not in training."""
    from tiltyard.training.augmentation import augmentation

    made = {}
    for name, value in settings.items():
        stack, again = (augmentation(Augment.model_validate({name: value}), seed=5) for _ in range(2))
        runs = [stack(_pictures(), training=True), stack(_pictures(), training=True)]
        runs += [again(_pictures(), training=True), stack(_pictures(), training=False)]
        made[name] = [np.asarray(run) for run in runs]
    return made


@pytest.fixture(scope="module")
def changed() -> dict[str, list[Array]]:
    """What each change alone does."""
    made: dict[str, list[Array]] = run_in_process(_changed, SETTINGS)
    return made


@pytest.mark.parametrize("name", SETTINGS)
def test_pictures_change_in_training_alone(changed: dict[str, list[Array]], name: str) -> None:
    """Other pixels of the same shape and range each time, the same ones under the same seed, none outside training."""
    first, second, again, outside = changed[name]
    assert first.shape == second.shape == _pictures().shape
    assert 0 <= min(first.min(), second.min()) <= max(first.max(), second.max()) <= 255.001
    assert not np.allclose(first, _pictures())
    assert not np.allclose(first, second)
    assert np.array_equal(first, again)
    assert np.array_equal(outside, _pictures())


def test_every_setting_is_tried() -> None:
    """A change that is added is added here, too."""
    assert {*SETTINGS, "mixup"} == {*Augment.model_fields}


def test_a_crop_is_a_window_of_the_padded_picture(changed: dict[str, list[Array]]) -> None:
    """Each picture is moved by whole pixels, at most as many as asked for, and not all alike."""
    padded = np.pad(_pictures(), ((0, 0), (3, 3), (3, 3), (0, 0)))
    places = []
    for source, result in zip(padded, changed["crop"][0], strict=True):
        found = [(y, x) for y in range(7) for x in range(7) if np.array_equal(source[y : y + 12, x : x + 12], result)]
        places += found
    assert len(places) == 64
    assert {y for y, _ in places} == {x for _, x in places} == set(range(7))


def test_colours_change_and_what_should_stay_stays(changed: dict[str, list[Array]]) -> None:
    """Saturation keeps a pixel's grey, hue its brightest and darkest channel, brightness its colour differences."""
    before, grey = _pictures(), np.array([0.299, 0.587, 0.114])
    saturated = changed["saturation"][0]
    inside = ((saturated > 0) & (saturated < 255)).all(axis=-1)
    assert np.allclose((saturated @ grey)[inside], (before @ grey)[inside], atol=0.1)
    for end in (np.max, np.min):
        assert np.allclose(end(changed["hue"][0], axis=-1), end(before, axis=-1), atol=0.1)
    lit = changed["brightness"][0]
    inside = ((lit > 0) & (lit < 255)).all(axis=-1)
    assert np.allclose(np.diff(lit)[inside], np.diff(before)[inside], atol=0.1)


def test_noise_and_patches_are_as_large_as_asked_for(changed: dict[str, list[Array]]) -> None:
    """Noise has its deviation; half of the pictures get a black patch, of at most the share that was asked for."""
    assert (changed["noise"][0] - _pictures()).std() == pytest.approx(25.5, rel=0.1)
    black = (changed["erasing"][0] == 0).all(axis=-1).mean(axis=(1, 2))
    assert 0.3 < (black > 0).mean() < 0.7
    assert black.max() <= 0.25 + 0.08  # whole pixels
