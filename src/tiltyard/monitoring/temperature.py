"""Calibrated probabilities: a temperature fitted to the sealed rows, and labels drawn from the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array

RESAMPLES = 20  # of the rows, so that draws contain the uncertainty of the fit
GRID = np.exp(np.linspace(np.log(0.1), np.log(10.0), 81))
SMALLEST = 1e-12  # probability, whose logarithm is taken


@dataclass(frozen=True)
class Temperatures:
    """Temperatures fitted to resamples of the rows; 1 leaves probabilities as they are, above it is less confident."""

    values: list[float]

    @classmethod
    def fit(cls, probabilities: Array, labels: Array, seed: int) -> Temperatures:
        """Fit them by the likelihood of the labels."""
        logs, generator = np.log(np.clip(probabilities, SMALLEST, 1.0)), np.random.default_rng(seed)
        losses = np.stack([_losses(logs / temperature, labels) for temperature in GRID])
        draws = (generator.integers(0, len(labels), len(labels)) for _ in range(RESAMPLES))
        return cls([float(GRID[losses[:, rows].mean(axis=1).argmin()]) for rows in draws])

    def draw(self, probabilities: Array, generator: np.random.Generator) -> Array:
        """Draw a label for each row."""
        logs = np.log(np.clip(probabilities, SMALLEST, 1.0)) / generator.choice(self.values)
        labels: Array = (logs + generator.gumbel(size=logs.shape)).argmax(axis=1)  # a draw by the probabilities
        return labels

    def save(self, path: Path) -> None:
        """Write them."""
        files.write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> Temperatures:
        """Read them."""
        return cls(files.read_json(path)["values"])


def _losses(logits: Array, labels: Array) -> Array:
    """Return the negative log-likelihood of each row."""
    top = logits.max(axis=1)
    total: Array = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(labels)), labels]
    return total
