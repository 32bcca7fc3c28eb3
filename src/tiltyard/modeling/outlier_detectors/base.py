"""The base class of outlier detectors, and the rows that they are fitted to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array

SEED = 0  # of the choice of rows, and of the detectors
CHUNK_ROWS = 1000  # scored at once


class OutlierDetector(ABC):
    """A model of normal rows; each plug-in in this folder is one file."""

    title: ClassVar[str]
    has_errors: ClassVar[bool] = False  # whether its scores are mean squared errors of reconstructions
    max_rows: ClassVar[int] = 20_000  # that it is fitted to, chosen at random
    max_cells: ClassVar[int] = 1 << 25  # rows times features, which bounds memory and time

    def __init__(self, code: int, judged: slice = slice(None)) -> None:
        self.code = code  # how many numbers the code of the network has
        self.judged = judged  # the features whose errors count: those of the last step of a series
        self.extent = ""  # the rows that it was fitted to, in words; set by `fit_to`

    def fit_to(self, rows: Array) -> None:
        """Fit it to standardised training rows, flat; at most so many as its bounds allow."""
        most = max(2, min(self.max_rows, self.max_cells // max(1, rows.shape[1])))
        chosen = rows
        if len(rows) > most:
            chosen = rows[np.sort(np.random.default_rng(SEED).choice(len(rows), most, replace=False))]
        of = "" if len(chosen) == len(rows) else f" of {len(rows):,}"
        self.extent = f"{len(chosen):,}{of} training rows"
        self.fit(chosen)

    def scores(self, rows: Array) -> Array:
        """Return a score for each row, high for outliers; some rows at a time, so that memory is bounded."""
        starts = range(0, len(rows), CHUNK_ROWS)
        return np.concatenate([self.score(rows[start : start + CHUNK_ROWS]) for start in starts]).astype(np.float64)

    @abstractmethod
    def fit(self, rows: Array) -> None:
        """Fit it to rows."""

    @abstractmethod
    def score(self, rows: Array) -> Array:
        """Return the scores of a few rows."""


def fitted(
    rows: Array, code: int, judged: slice = slice(None), *, errors_only: bool = False
) -> Iterator[OutlierDetector]:
    """Yield all detectors, or only those whose scores are errors, fitted to standardised training rows."""
    for name in plugins.names("outlier_detectors"):
        detector: OutlierDetector = plugins.load("outlier_detectors", name)(code, judged)
        if detector.has_errors or not errors_only:
            detector.fit_to(rows)
            yield detector
