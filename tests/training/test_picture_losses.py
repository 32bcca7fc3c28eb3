"""Losses of detection and segmentation, worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from workspaces import run_in_process


def _pixel_losses() -> list[float]:
    import keras

    from tiltyard.training.picture_losses import pixel_crossentropy

    truth = np.array([[[0, 1]], [[1, 1]]], dtype=np.float32)
    outputs = np.array([[[[0.5, 0.5], [0.75, 0.25]]], [[[0.0, 1.0], [0.0, 1.0]]]], dtype=np.float32)
    losses: list[float] = keras.ops.convert_to_numpy(
        pixel_crossentropy(truth, keras.ops.convert_to_tensor(outputs))
    ).tolist()
    return losses


def _focal_losses() -> dict[str, float]:
    """Return the losses of a picture of 2x2 cells with one object in its first cell, whose sides are half of it."""
    import keras

    from tiltyard.training.picture_losses import focal

    truth = np.array([[[0, 0.0, 0.0, 0.5, 0.5], [-1, 0, 0, 0, 0]]], dtype=np.float32)
    box = np.zeros((1, 2, 2, 5), dtype=np.float32)
    box[0, 0, 0, 1:] = 0.25  # from the middle of the cell to each side

    def loss(score: float, elsewhere: float, side: float = 0.25) -> float:
        outputs: Any = box.copy()
        outputs[..., 0] = elsewhere
        outputs[0, 0, 0, 0] = score
        outputs[0, 0, 0, 1:] = side
        return float(focal(truth, keras.ops.convert_to_tensor(outputs))[0])

    return {"right": loss(1, 0), "missed": loss(0.5, 0), "seen twice": loss(1, 0.5), "small": loss(1, 0, 0.125)}


@pytest.mark.slow
def test_pixels_have_the_log_loss_of_their_labels() -> None:
    """The mean of -log .5 and -log .25; and 0 where every pixel is right."""
    assert run_in_process(_pixel_losses) == pytest.approx([(math.log(2) + math.log(4)) / 2, 0], abs=1e-6)


@pytest.mark.slow
def test_each_mistake_of_a_detector_costs() -> None:
    """A right picture costs nothing; a score of .5 costs .25 log 2; a box of half the sides 1 less a quarter."""
    losses = run_in_process(_focal_losses)
    assert losses["right"] == pytest.approx(0, abs=1e-4)
    assert losses["missed"] == pytest.approx(0.25 * math.log(2), abs=1e-4)
    assert losses["small"] == pytest.approx(0.75, abs=1e-4)
    assert losses["seen twice"] > 0.05
