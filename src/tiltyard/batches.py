"""Rows in batches, in an order that depends on seed and epoch alone, so that a resumed run sees the same."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from tiltyard.column import Array


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Features, targets and weights; with a seed, they are shuffled anew each epoch."""

    def __init__(self, arrays: tuple[Array, ...], size: int, seed: int | None = None) -> None:
        super().__init__()
        self.arrays = arrays
        self.size = size
        self.seed = seed
        self.order = np.arange(len(arrays[0]))
        if seed is not None:
            self.deal(0)

    def __len__(self) -> int:
        """Batches an epoch; the last may be smaller."""
        return math.ceil(len(self.arrays[0]) / self.size)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        """One batch."""
        index = self.order[place * self.size : (place + 1) * self.size]
        return tuple(array[index] for array in self.arrays)

    def deal(self, epoch: int) -> None:
        """Shuffle for an epoch. Called by a callback: Keras calls a data set's own hooks more than once an epoch."""
        self.order = np.random.default_rng([self.seed or 0, epoch]).permutation(len(self.arrays[0]))
