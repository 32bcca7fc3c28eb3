"""A Gaussian mixture of codes: where the codes of normal rows lie, if these are of several kinds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from tiltyard.arrays import Array

COMPONENTS = 30  # at most
ROWS_PER_NUMBER = 10  # training rows of a component for each number of the code, at least
SHRINKAGE = 1e-3  # share of the mean variance of the codes that is added to that of each component
ITERATIONS = 100
SEED = 0


@dataclass(frozen=True)
class CodeMixture:
    """Gaussians of codes: what is subtracted from a whitened code, what whitens it, and the constant of each."""

    offsets: Array  # (components, numbers)
    whitening: Array  # (numbers, components * numbers)
    constants: Array  # (components,)

    @classmethod
    def of(cls, code: Array) -> CodeMixture:
        """Fit it to the codes of training rows, by scikit-learn."""
        from sklearn.mixture import GaussianMixture

        rows, numbers = code.shape
        components = max(1, min(COMPONENTS, rows // (ROWS_PER_NUMBER * numbers)))
        shrinkage = max(SHRINKAGE * float(code.var(dtype=np.float64)), 1e-12)
        mixture = GaussianMixture(components, reg_covar=shrinkage, max_iter=ITERATIONS, random_state=SEED)
        mixture.fit(code.astype(np.float64))
        whitening = mixture.precisions_cholesky_  # (components, numbers, numbers)
        logarithms = np.log(np.diagonal(whitening, axis1=1, axis2=2)).sum(axis=1)
        constants = np.log(mixture.weights_) + logarithms - numbers / 2 * math.log(2 * math.pi)
        return cls(
            np.einsum("kd,kde->ke", mixture.means_, whitening).astype(np.float32),
            np.moveaxis(whitening, 0, 1).reshape(numbers, -1).astype(np.float32),
            constants.astype(np.float32),
        )

    def log_density(self, code: Any) -> Any:
        """Return the logarithm of the density of codes, in one column."""
        components, numbers = self.offsets.shape
        whitened = ops.reshape(ops.matmul(code, self.whitening), (-1, components, numbers)) - self.offsets
        exponents = -0.5 * ops.sum(ops.square(whitened), axis=-1) + self.constants  # Keras needs the tensor first
        return ops.logsumexp(exponents, axis=-1, keepdims=True)
