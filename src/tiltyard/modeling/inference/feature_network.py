"""Features of pictures, by which samples are compared with real rows: those of a classifier of our own.

It learned the labels of the task's training rows; without labels, features are principal components. It is not the
Inception network, so a Frechet distance of its features is no FID, and compares only within a task.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.inference.predictor import open_session
from tiltyard.runtime import threads

FILE = "features.onnx"
WIDTH = 32  # numbers of the last hidden layer
BATCH = 512


@dataclass(frozen=True)
class Described:
    """The features of pictures, and the label that the classifier gives to each."""

    features: Array
    labels: Array  # 0 if there are no classes
    classes: int  # how many there are; 1 without labels


@dataclass(frozen=True)
class FeatureNetwork:
    """The classifier as ONNX: from pixels of pictures to features and, after them, a probability for each class."""

    session: Any  # of ONNX Runtime

    @classmethod
    def load(cls, folder: Path) -> FeatureNetwork:
        """Load it from a folder that `train` wrote."""
        if not (folder / FILE).is_file():
            task = folder.parent.name
            raise DataError(f"no {FILE} for {task}: it is not trained", hint=f"train it: tiltyard train {task}")
        return cls(open_session(folder / FILE))

    def describe(self, pixels: Array) -> Described:
        """Return features and labels of pictures from 0 to 1, (rows, height, width, channels) or flat."""
        outputs = self.outputs(pixels)
        features, classes = outputs[:, :WIDTH], outputs[:, WIDTH:]
        if not classes.shape[1]:
            return Described(features, np.zeros(len(features), dtype=np.int64), 1)
        return Described(features, classes.argmax(axis=1), classes.shape[1])

    def outputs(self, pixels: Array) -> Array:
        """Return features and probabilities of classes, side by side."""
        graph_input = self.session.get_inputs()[0]
        name, shape = graph_input.name, graph_input.shape[1:]

        def run(start: int) -> Array:
            batch: Array = pixels[start : start + BATCH].astype(np.float32).reshape(-1, *shape)
            return np.asarray(self.session.run(None, {name: batch})[0])

        return np.concatenate([*threads.ordered(run, range(0, len(pixels), BATCH))])
