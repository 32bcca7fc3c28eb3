"""Mixture of independent pixels, fitted by expectation maximisation: the baseline of generative models.

Each component has the probability of each pixel. Its log-likelihood of a binary row is exact, not a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

COMPONENTS = 50
MAX_ROWS = 10_000  # that it is fitted to, evenly spaced
ITERATIONS = 20
PSEUDO_ROWS = 1.0  # of uniform pixels that each component has seen: no probability is 0 or 1


@dataclass(frozen=True)
class BernoulliMixture:
    """The logarithms of the shares of the components, and the probability of each pixel in each."""

    log_shares: Array
    probabilities: Array

    @classmethod
    def of(cls, pixels: Array, components: int = COMPONENTS, seed: int = 0) -> BernoulliMixture:
        """Fit to rows of pixels from 0 to 1, which are probabilities that a pixel is set."""
        places = np.unique(np.linspace(0, len(pixels) - 1, min(MAX_ROWS, len(pixels))).astype(int))
        rows, generator = pixels[places].astype(np.float32), np.random.default_rng(seed)
        count = min(components, len(rows))
        first = _far_apart(rows, count, generator)
        mixture = cls(np.full(count, -np.log(count)), np.clip(0.5 * first + 0.25, 0.05, 0.95))
        for _ in range(ITERATIONS if count > 1 else 1):
            mixture = mixture._improved(rows)
        return mixture

    def _improved(self, rows: Array) -> BernoulliMixture:
        """Return the mixture after one step of expectation maximisation."""
        joint = self._joint(rows)
        shares = np.exp(joint - _log_sum(joint)[:, None])
        sums = shares.sum(axis=0)
        probabilities = (shares.T @ rows + PSEUDO_ROWS / 2) / (sums[:, None] + PSEUDO_ROWS)
        return BernoulliMixture(np.log((sums + 1e-6) / (sums + 1e-6).sum()), probabilities)

    def _joint(self, rows: Array) -> Array:
        """Return the log-likelihood of each row together with each component."""
        on, off = np.log(self.probabilities), np.log1p(-self.probabilities)
        return np.asarray(rows @ (on - off).T + off.sum(axis=1) + self.log_shares, dtype=np.float64)

    def log_likelihood(self, binary: Array) -> Array:
        """Return the log-likelihood of each binary row, in nats."""
        return _log_sum(self._joint(binary))

    def draw(self, count: int, seed: int) -> Array:
        """Return the probabilities of the pixels of components that are drawn by their shares."""
        chosen = np.random.default_rng(seed).choice(len(self.log_shares), count, p=np.exp(self.log_shares))
        return np.asarray(self.probabilities[chosen])


def _far_apart(rows: Array, count: int, generator: np.random.Generator) -> Array:
    """Choose rows one after the other, with the squared distance to those before as the probability (k-means++)."""
    chosen = [int(generator.integers(len(rows)))]
    distance = np.full(len(rows), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, np.square(rows - rows[chosen[-1]]).sum(axis=1, dtype=np.float64))
        total = distance.sum()
        shares = distance / total if total > 0 else np.full(len(rows), 1 / len(rows))  # all rows may be equal
        chosen.append(int(generator.choice(len(rows), p=shares)))
    return rows[chosen]


def _log_sum(joint: Array) -> Array:
    largest = joint.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(joint - largest).sum(axis=1)) + largest[:, 0])
