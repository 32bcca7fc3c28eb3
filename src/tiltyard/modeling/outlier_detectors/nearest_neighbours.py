"""Nearest neighbours: the mean distance from the nearest training rows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.outlier_detectors.base import OutlierDetector

NEIGHBOURS = 5


class NearestNeighbours(OutlierDetector):
    """The mean Euclidean distance from the five nearest of a sample of training rows."""

    title: ClassVar = "k nearest neighbours"
    max_rows: ClassVar = 6000

    def fit(self, rows: Array) -> None:
        """Keep the rows, and their squared lengths."""
        self.rows = rows.astype(np.float32)
        self.squares = np.square(self.rows, dtype=np.float64).sum(axis=1)

    def score(self, rows: Array) -> Array:
        """Return the mean distance, by one product of matrices."""
        lengths = np.square(rows, dtype=np.float64).sum(axis=1)[:, None]
        squared = lengths + self.squares - 2 * (rows.astype(np.float32) @ self.rows.T)
        nearest = np.partition(squared, min(NEIGHBOURS, squared.shape[1]) - 1, axis=1)[:, :NEIGHBOURS]
        distance: Array = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
        return distance
