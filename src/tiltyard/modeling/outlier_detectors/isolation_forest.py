"""Isolation forest: how few random cuts separate a row from others, by scikit-learn."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.arrays import Array
from tiltyard.modeling.outlier_detectors.base import SEED, OutlierDetector


class IsolationForest(OutlierDetector):
    """A hundred trees with random cuts."""

    title: ClassVar = "an isolation forest"

    def fit(self, rows: Array) -> None:
        """Grow the trees."""
        from sklearn.ensemble import IsolationForest as Forest

        self.forest = Forest(random_state=SEED).fit(rows)

    def score(self, rows: Array) -> Array:
        """Return the opposite of scikit-learn's score, which is low for outliers."""
        scores: Array = -self.forest.score_samples(rows)
        return scores
