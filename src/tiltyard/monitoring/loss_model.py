"""Loss model: a ridge regression of the absolute error on the features, fitted to the sealed rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array

RESAMPLES = 20  # of the rows, so that draws contain the uncertainty of the fit
PENALTY = 1.0  # of a ridge regression of scaled features
FARTHEST = 4.0  # deviations from the mean, at which features are cut off: a parabola goes far beyond the rows
QUANTILES = np.linspace(0.005, 0.995, 100)
LEAST, MOST = 0.1, 5.0  # of the mean absolute error: limits of what is predicted


@dataclass(frozen=True)
class LossModel:
    """Weights for resamples of the rows, the mean absolute error, and quantiles of residuals by predicted size."""

    weights: list[list[float]]
    mean: float
    ratios: list[float]

    @classmethod
    def fit(cls, features: Array, residuals: Array, seed: int) -> LossModel:
        """Fit it to scaled features and the residuals of their predictions."""
        inputs, errors, generator = _inputs(features), np.abs(residuals), np.random.default_rng(seed)
        draws = (generator.integers(0, len(errors), len(errors)) for _ in range(RESAMPLES))
        weights = [_ridge(inputs[rows], errors[rows]).tolist() for rows in draws]
        model = cls(weights, float(errors.mean()), [])
        sizes = model.sizes(features, np.mean(weights, axis=0))
        return cls(weights, model.mean, np.quantile(residuals / sizes, QUANTILES).tolist())

    def sizes(self, features: Array, weights: Array) -> Array:
        """Return the absolute error that the features let expect."""
        least = max(LEAST * self.mean, np.finfo(np.float64).tiny)
        sizes: Array = np.clip(_inputs(features) @ weights, least, max(MOST * self.mean, least))
        return sizes

    def draw(self, outputs: Array, features: Array, generator: np.random.Generator) -> Array:
        """Draw a ground truth for each prediction."""
        sizes = self.sizes(features, np.array(self.weights[generator.integers(len(self.weights))]))
        truths: Array = outputs.reshape(len(outputs), -1)[:, 0] + sizes * generator.choice(self.ratios, len(sizes))
        return truths

    def save(self, path: Path) -> None:
        """Write it."""
        files.write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> LossModel:
        """Read it."""
        return cls(**files.read_json(path))


def _inputs(features: Array) -> Array:
    """Return a constant, the features and their squares."""
    cut = np.clip(features.astype(np.float64), -FARTHEST, FARTHEST)
    return np.hstack([np.ones((len(cut), 1)), cut, cut**2])


def _ridge(inputs: Array, errors: Array) -> Array:
    """Return the weights; the constant is not penalized."""
    penalty = np.eye(inputs.shape[1]) * PENALTY
    penalty[0, 0] = 0.0
    weights: Array = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ errors)
    return weights
