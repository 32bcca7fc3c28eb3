"""Principal components: the error of the best linear code of the same size."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics.principal_components import PrincipalComponents
from tiltyard.modeling.outlier_detectors.base import OutlierDetector


class Pca(OutlierDetector):
    """The mean squared error of the reconstruction by principal components, of the features that are judged."""

    title: ClassVar = "PCA"
    has_errors: ClassVar = True

    def fit(self, rows: Array) -> None:
        """Find the components."""
        self.components = PrincipalComponents.of(rows, self.code)

    def score(self, rows: Array) -> Array:
        """Return the error of each row."""
        differences = (rows - self.components.reconstruct(rows))[:, self.judged]
        error: Array = np.square(differences, dtype=np.float64).mean(axis=1)
        return error
