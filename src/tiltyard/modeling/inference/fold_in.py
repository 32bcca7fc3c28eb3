"""Fold-in: the vector of a user whom training has not seen, from the user's ratings and the vectors of all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

STEPS = 12  # of Newton's method; it needs about six
HALVINGS = 12  # of a step that does not improve
ENOUGH = 1e-5  # expected gain of the last step: the next one gains about its square
FLOOR = 1e-3  # share of the mean variance that is added to each, so that covariances can be inverted
LEAST_NOISE = 1e-6  # variance of residuals


@dataclass(frozen=True)
class Prior:
    """What is known of a vector before any rating: mean and inverse covariance of the vectors of known users."""

    mean: Array
    precision: Array

    @classmethod
    def of(cls, vectors: Array) -> Prior:
        """Estimate them."""
        numbers = vectors.astype(np.float64)
        rows, size = numbers.shape
        covariance = np.cov(numbers, rowvar=False).reshape(size, size) if rows > 1 else np.zeros((size, size))
        floor = max(float(np.trace(covariance)) / size * FLOOR, 1e-9)
        return cls(numbers.mean(axis=0), np.linalg.inv(covariance + floor * np.eye(size)))


def rating_vector(prior: Prior, design: Array, ratings: Array, noise: float) -> Array:
    """Return the most probable vector, given ratings that are its products with the rows of `design`, plus noise."""
    noise = max(noise, LEAST_NOISE)
    rest = ratings - design @ prior.mean
    return np.asarray(
        prior.mean + np.linalg.solve(prior.precision + design.T @ design / noise, design.T @ rest / noise)
    )


@dataclass(frozen=True)
class Choice:
    """A user chose some of the items, each with a probability that is the softmax of the scores of all items."""

    prior: Prior
    vectors: Array  # of all items
    bias: Array
    chosen: Array  # places of the chosen items

    def vector(self) -> Array:
        """Return the most probable vector of the user, by Newton's method: the function is concave."""
        wanted, count, vector = self.vectors[self.chosen].sum(axis=0), len(self.chosen), self.prior.mean
        value, shares = self._value(vector)
        for _ in range(STEPS):
            expected = shares @ self.vectors
            slope = wanted - count * expected - self.prior.precision @ (vector - self.prior.mean)
            spread = (self.vectors * shares[:, None]).T @ self.vectors - np.outer(expected, expected)
            step = np.linalg.solve(self.prior.precision + count * spread, slope)
            expected_gain = float(slope @ step)
            for _ in range(HALVINGS):
                new_value, new_shares = self._value(vector + step)
                if new_value > value:
                    break
                step = step / 2
            else:
                break
            vector, value, shares = vector + step, new_value, new_shares
            if expected_gain < ENOUGH:
                break
        return np.asarray(vector)

    def _value(self, vector: Array) -> tuple[float, Array]:
        """Return the logarithm of the probability, up to a constant, and the shares of all items."""
        scores = self.vectors @ vector + self.bias
        largest = float(scores.max())
        shares = np.exp(scores - largest)
        total, away = float(shares.sum()), vector - self.prior.mean
        chosen = float(scores[self.chosen].sum()) - len(self.chosen) * (largest + np.log(total))
        return chosen - float(away @ self.prior.precision @ away) / 2, shares / total
