"""Features of pictures by a classifier of our own, which learned from the training rows: samples are compared by them.

It is not the Inception network, so distances are no FID, and compare only within a task.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.runtime import threads

if TYPE_CHECKING:
    import onnxruntime

FILE = "features.onnx"
WIDTH = 64  # numbers of the last hidden layer
BATCH = 512


@dataclass(frozen=True)
class Described:
    """The features of pictures, and the label that the classifier gives to each."""

    features: Array
    labels: Array
    classes: int  # how many there are


@dataclass(frozen=True)
class FeatureNetwork:
    """The classifier as ONNX: from pixels of rows to features and, after them, a probability for each class."""

    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path) -> FeatureNetwork:
        """Load it from a folder that `train` wrote."""
        import onnxruntime

        if not (folder / FILE).is_file():
            task = folder.parent.name
            raise DataError(f"no {FILE} for {task}: it is not trained", hint=f"train it: tiltyard train {task}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        return cls(onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"]))

    def describe(self, pixels: Array) -> Described:
        """Return features and labels of pictures (rows, height, width, channels), 0 to 255 as they are stored."""
        outputs = self.outputs(pixels)
        return Described(outputs[:, :WIDTH], outputs[:, WIDTH:].argmax(axis=1), outputs.shape[1] - WIDTH)

    def outputs(self, pixels: Array) -> Array:
        """Return features and probabilities of classes, side by side."""
        name = self.session.get_inputs()[0].name

        def run(start: int) -> Array:
            batch: Array = pixels[start : start + BATCH].astype(np.float32)
            return np.asarray(self.session.run(None, {name: batch})[0])

        return np.concatenate([*threads.ordered(run, range(0, len(pixels), BATCH))])
