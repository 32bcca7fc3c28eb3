"""The linear surrogate, and masks of texts and images."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.explain.math.heatmap import signed_overlay
from tiltyard.explain.math.linear_surrogate import fit, proximity
from tiltyard.explain.math.masking import PatchMask, WordMask
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN


def test_linear_model_is_recovered_with_r2_of_one() -> None:
    """For a linear model the slopes are its weights, for any row weights, and r2 is 1."""
    generator = np.random.default_rng(0)
    changes, slopes = generator.normal(size=(200, 3)), np.array([2.0, -1.0, 0.0])
    surrogate = fit(changes, changes @ slopes + 5, generator.uniform(0.1, 1, 200))
    assert surrogate.slopes == pytest.approx(slopes, abs=1e-4)
    assert surrogate.r2 == pytest.approx(1)


def test_nonlinear_function_has_r2_of_zero() -> None:
    """A parabola at its minimum has slope 0 and r2 0; a constant has r2 0."""
    changes = np.linspace(-1, 1, 101)[:, None]
    surrogate = fit(changes, changes[:, 0] ** 2, np.ones(101))
    assert surrogate.slopes == pytest.approx([0], abs=1e-9)
    assert surrogate.r2 == pytest.approx(0, abs=1e-9)
    assert fit(changes, np.ones(101), np.ones(101)).r2 == 0


def test_near_rows_determine_the_slope() -> None:
    """The slope is that of near rows, even if far rows have another one."""
    changes = np.concatenate([np.linspace(-0.1, 0.1, 50), np.linspace(3, 9, 50)])
    predictions = np.where(np.abs(changes) < 1, changes, -changes)
    surrogate = fit(changes[:, None], predictions, proximity(np.abs(changes), 1))
    assert surrogate.slopes[0] == pytest.approx(1, abs=0.01)


def test_kept_words_close_up() -> None:
    """Removed words leave no gap, as in a shorter text; an empty text is one unknown word."""
    text = WordMask(["a", "b", "c"], np.array([5, 6, 7, PAD, PAD], dtype=np.float32))
    mask = np.array([[True, False, True], [False, False, False], [True, True, True]])
    assert text.keep(mask).tolist() == [[5, 7, 0, 0, 0], [UNKNOWN, 0, 0, 0, 0], [5, 6, 7, 0, 0]]


def test_patches_cover_an_image_once() -> None:
    """Each pixel is in one patch; patches that are not kept are grey; there are no more patches than pixels."""
    image = np.arange(24.0).reshape(4, 6, 1)
    patches = PatchMask.of(image, 2, -1)
    assert patches.count == 4
    assert np.bincount(patches.patches.ravel()).tolist() == [6] * 4
    shown = patches.keep(np.eye(4, dtype=bool))
    assert [int((one != -1).sum()) for one in shown] == [6] * 4
    assert np.array_equal(shown.max(axis=0), image)
    assert PatchMask.of(image, 8, 0).count == 24
    assert patches.spread(np.array([1.0, 2, 3, 4]))[0].tolist() == [1, 1, 1, 2, 2, 2]


def test_positive_heat_is_red_and_negative_is_blue() -> None:
    """Positive values are red, negative ones blue, and zero is pale."""
    overlay = signed_overlay(np.zeros((1, 3, 1)), np.array([[2.0, 0.0, -2.0]]))
    (red, none, blue) = overlay[0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert len(set(none.tolist())) == 1
    assert np.isfinite(signed_overlay(np.zeros((2, 2, 3)), np.zeros((2, 2)))).all()
