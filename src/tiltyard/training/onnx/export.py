"""Export a trained Keras model to ONNX, and compare both on real rows (parity)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import TrainingError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.models.base import load_network
from tiltyard.training.onnx import canonical

if TYPE_CHECKING:
    import keras

APART = """\
import pathlib, sys
from tiltyard.training.onnx import export
export.convert(pathlib.Path(sys.argv[1]), sys.argv[2])
"""

MODEL, DECODER = "model", "decoder"  # names of the files
PIXEL_FLOOR = 1e-1  # of a pixel from 0 to 1: a thousandth of a grey level is not seen
DECODED_ROWS = 256  # codes by which a decoder is compared
TOLERANCE = 1e-4  # relative
MAX_ERROR_CHARACTERS = 300
SIGMOID_FLOOR = 1e-2  # of outputs of a sigmoid: the error of ONNX Runtime is 1.5e-7, whatever the probability


def export(
    model: keras.Model, folder: Path, features: Array, *, sigmoid: bool = False, floor: Array | None = None
) -> float:
    """Write model.keras and model.onnx to a new folder; return their largest difference on real rows.

    `floor` is that of each output, if they have different scales.
    """
    expected = write(model, folder, MODEL, features)
    received = Predictor.load(folder).run(features).astype(np.float64)
    if floor is not None:
        return parity(expected, received, floor)
    return parity(expected, received, SIGMOID_FLOOR) if sigmoid else parity(expected, received)


def export_decoder(model: keras.Model, folder: Path, seed: int, codes: Array | None = None) -> float:
    """Write the decoder of a generative model beside model.onnx; return the largest difference on random codes.

    `codes` are those to compare, if not every code gives the same result in both.
    """
    if codes is None:
        codes = np.random.default_rng(seed).standard_normal((DECODED_ROWS, model.input_shape[1]), dtype=np.float32)
    expected = write(model, folder, DECODER, codes)
    return parity(expected, Predictor.load(folder).decode_codes(codes).astype(np.float64), PIXEL_FLOOR)


def write(model: keras.Model, folder: Path, name: str, inputs: Array) -> Array:
    """Write NAME.keras and NAME.onnx; return what Keras computes."""
    outputs = model.predict_on_batch(inputs)  # also builds the functions that export needs
    model.save(folder / f"{name}.keras")
    _convert(model, folder, name)
    canonical.rewrite(folder / f"{name}.onnx")
    return np.asarray(outputs, dtype=np.float64)


def _convert(model: keras.Model, folder: Path, name: str) -> None:
    """Write ONNX. Keras needs TensorFlow for that; under another backend, a process converts the saved file."""
    import keras

    if keras.backend.backend() != "tensorflow":
        _convert_apart(folder, name)
        return
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
    except (ValueError, TypeError, NotImplementedError, RuntimeError, KeyError) as error:
        text = " ".join(str(error).split())[:MAX_ERROR_CHARACTERS]
        raise TrainingError(
            f"export: expected layers that can be written as ONNX: {type(error).__name__}: {text}",
            hint="leave out layers that are random or that read strings, and grouped convolutions",
        ) from None


def _convert_apart(folder: Path, name: str) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", APART, str(folder), name]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        last = process.stderr.strip().splitlines()[-1:] or ["it wrote no error"]
        raise TrainingError(
            f"export: expected TensorFlow, which writes ONNX, beside the backend that trained: {last[0]}",
            hint="install tensorflow-cpu, then train again: the training resumes",
        )


def convert(folder: Path, name: str) -> None:
    """Write ONNX from the saved file; the model must have predicted once."""
    model = load_network(folder / f"{name}.keras")
    model.predict_on_batch(np.zeros((1, *model.input_shape[1:]), dtype=np.float32))
    _convert(model, folder, name)


def parity(expected: Array, received: Array, floor: float | Array = 1e-12) -> float:
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
