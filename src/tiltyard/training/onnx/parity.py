"""Parity: the outputs of an ONNX file beside those of the Keras model that it was exported from."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import TrainingError

TOLERANCE = 1e-4  # relative
SIGMOID_FLOOR = 1e-2  # of outputs of a sigmoid: the error of ONNX Runtime is 1.5e-7, whatever the probability


def parity(expected: Array, received: Array, floor: float = 1e-12) -> float:
    """Return the largest difference between Keras and ONNX, relative to the outputs; refuse one above the tolerance.

    Differences of outputs below `floor` are relative to it.
    """
    if expected.shape != received.shape:
        raise TrainingError(f"export: expected outputs {expected.shape}; received {received.shape} from the ONNX file")
    scale = np.maximum(np.abs(expected), 1e-3 * np.abs(expected).max())  # a probability of 1e-9 need not match to 1e-13
    worst = float(np.max(np.abs(expected - received) / np.maximum(scale, floor)))
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"export: ONNX and Keras differ: expected at most {TOLERANCE:g} relative; received {worst:.2g}",
            hint="set train.mixed_precision: false, or use another model family",
        )
    return worst
