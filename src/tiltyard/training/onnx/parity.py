"""Parity: the outputs of an ONNX file beside those of the Keras model that it was exported from."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import TrainingError

TOLERANCE = 1e-4  # relative


def parity(expected: Array, received: Array) -> float:
    """Return the largest difference between Keras and ONNX, relative to the outputs; refuse one above the tolerance."""
    if expected.shape != received.shape:
        raise TrainingError(f"export: expected outputs {expected.shape}; received {received.shape} from the ONNX file")
    scale = np.maximum(np.abs(expected), 1e-3 * np.abs(expected).max())  # a probability of 1e-9 need not match to 1e-13
    worst = float(np.max(np.abs(expected - received) / np.maximum(scale, 1e-12)))
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"export: ONNX and Keras differ: expected at most {TOLERANCE:g} relative; received {worst:.2g}",
            hint="set train.mixed_precision: false, or use another model family",
        )
    return worst
