"""Training rows in batches, in an order that depends on seed and epoch alone, so that a resumed run sees the same."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from tiltyard.column import Array


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Features, targets and weights, shuffled anew each epoch."""

    def __init__(self, arrays: tuple[Array, ...], size: int, seed: int, epoch: int) -> None:
        super().__init__()
        self.arrays = arrays
        self.size = size
        self.seed = seed
        self.epoch = epoch
        self._shuffle()

    def __len__(self) -> int:
        """Batches an epoch; the last may be smaller."""
        return math.ceil(len(self.arrays[0]) / self.size)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        """One batch."""
        index = self.order[place * self.size : (place + 1) * self.size]
        return tuple(array[index] for array in self.arrays)

    def on_epoch_end(self) -> None:
        """Deal the next epoch's order."""
        self.epoch += 1
        self._shuffle()

    def _shuffle(self) -> None:
        self.order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.arrays[0]))
