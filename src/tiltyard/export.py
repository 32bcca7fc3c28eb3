"""From a trained Keras model to the ONNX file that is judged and served, proven equal on real rows."""

from __future__ import annotations

import contextlib
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard import canonical
from tiltyard.column import Array
from tiltyard.errors import TrainingError
from tiltyard.predictor import Predictor

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4  # relative


def export(model: keras.Model, folder: Path, features: Array) -> float:
    """Write model.keras and model.onnx into a folder that is not yet in use; give their difference on real rows."""
    expected = np.asarray(model.predict_on_batch(features), dtype=np.float64)  # also builds what export needs
    model.save(folder / "model.keras")
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        model.export(folder / "model.onnx", format="onnx", verbose=False)
    canonical.rewrite(folder / "model.onnx")
    return parity(expected, Predictor.load(folder).run(features).astype(np.float64))


def parity(expected: Array, received: Array) -> float:
    """Give the largest difference between Keras and ONNX, relative to the outputs; refuse one above the tolerance."""
    if expected.shape != received.shape:
        raise TrainingError(f"export: expected outputs {expected.shape}; the ONNX file gives {received.shape}")
    scale = np.maximum(np.abs(expected), 1e-3 * np.abs(expected).max())  # a probability of 1e-9 need not agree to 1e-13
    worst = float(np.max(np.abs(expected - received) / np.maximum(scale, 1e-12)))
    if not worst <= TOLERANCE:
        raise TrainingError(
            f"export: the ONNX file answers otherwise than Keras: expected within {TOLERANCE:g}; received {worst:.2g}",
            hint="set train.mixed_precision: false, or use another model family",
        )
    return worst
