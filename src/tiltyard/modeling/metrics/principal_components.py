"""Principal component analysis (PCA) by the singular value decomposition: the best linear code of a size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

MAX_ROWS = 20_000  # that it is fitted to
MAX_CELLS = 1 << 25  # rows times features: fewer rows of wide data


def sample(rows: int, width: int) -> Array:
    """Return the places of at most so many rows of this width as the bounds allow, evenly spaced."""
    count = max(2, min(rows, MAX_ROWS, MAX_CELLS // width))
    return np.unique(np.linspace(0, rows - 1, count).astype(np.int64))


@dataclass(frozen=True)
class PrincipalComponents:
    """The mean of some rows, and the directions (code, features) in which they vary most."""

    mean: Array
    directions: Array

    @classmethod
    def of(cls, rows: Array, code: int) -> PrincipalComponents:
        """Fit to rows, at most so many as the bounds allow, evenly spaced."""
        chosen = rows[sample(*rows.shape)].astype(np.float64)
        mean = chosen.mean(axis=0)
        centred = chosen - mean
        if len(centred) > centred.shape[1]:  # R of a QR decomposition has the same directions, and fewer rows
            centred = np.linalg.qr(centred, mode="r")
        directions = np.linalg.svd(centred, full_matrices=False)[2][:code]
        return cls(mean.astype(np.float32), directions.astype(np.float32))

    def reconstruct(self, rows: Array) -> Array:
        """Return rows from their codes."""
        return np.asarray((rows - self.mean) @ self.directions.T @ self.directions + self.mean)
