"""Batches of training rows, in an order that depends only on seed and epoch, so a resumed run is the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.preparation.array_file import ArrayFile

BLOCK = 1024  # adjacent rows that are read together
POOL = 1 << 27  # bytes of features in memory at a time, if they do not all fit
ASSEMBLED = 1 << 25  # bytes of features that are passed to the compiled loop at a time, if they are not in memory


# features, targets and a generator -> features and targets with other masked words
Remask = Callable[[Array, Array, np.random.Generator], tuple[Array, Array]]


@dataclass(frozen=True)
class Rows:
    """Consecutive batches: batch i has the rows of `arrays` at `order[i * size : (i + 1) * size]`."""

    arrays: tuple[Any, ...]  # or tensors
    order: Array


class Batches:
    """Features, targets and weights; with a seed, they are shuffled in each epoch, and other words may be masked.

    Features that are too large for memory stay in their file. Shuffling single rows would need a read for each, so
    blocks of adjacent rows are shuffled, and then the rows of as many blocks as fit into memory.
    """

    def __init__(
        self,
        arrays: tuple[Array | ArrayFile, *tuple[Array, ...]],
        size: int,
        seed: int | None = None,
        mixup: float = 0.0,
        remask: Remask | None = None,
    ) -> None:
        self.features, *self.other_arrays = arrays
        self.size = size
        self.seed = seed
        self.mixup = mixup
        self.remask = remask
        self.epoch = 0
        self.order = np.arange(len(self.features))
        self.pool = len(self.order)
        if isinstance(self.features, ArrayFile):
            self.pool = max(size, POOL * len(self.features) // max(self.features.nbytes, 1))
        self.loaded_pool: tuple[int, Any] = -1, None  # index and features of the pool in memory
        if seed is not None:
            self.deal(0)

    def __len__(self) -> int:
        """Return the number of batches per epoch; the last may be smaller."""
        return math.ceil(len(self.order) / self.size)

    def __getitem__(self, position: int) -> tuple[Array, ...]:
        """Return one batch."""
        first = position * self.size
        index = self.order[first : first + self.size]
        features = self._features(first, index).astype(np.float32, copy=False)  # images are stored as bytes
        arrays = features, *(array[index] for array in self.other_arrays)
        if not (self.mixup or self.remask):
            return arrays
        generator = np.random.default_rng([self.seed or 0, self.epoch, position])
        if self.remask:
            return *self.remask(arrays[0], arrays[1], generator), *arrays[2:]
        return mixed(arrays, self.mixup, generator)

    def deal(self, epoch: int) -> None:
        """Shuffle for an epoch."""
        generator, rows = np.random.default_rng([self.seed or 0, epoch]), len(self.order)
        self.epoch = epoch
        self.loaded_pool = -1, None
        if not isinstance(self.features, ArrayFile):
            self.order = generator.permutation(rows)
            return
        blocks = generator.permutation(math.ceil(rows / BLOCK))
        order = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        self.order = order[order < rows]
        for start in range(0, rows, self.pool):
            generator.shuffle(self.order[start : start + self.pool])

    @property
    def all_rows(self) -> tuple[Array, ...] | None:
        """All rows, if they are in memory and need no mixing: the compiled loop then picks the rows of each batch."""
        if isinstance(self.features, ArrayFile) or self.mixup or self.remask:
            return None
        return self.features, *self.other_arrays

    def assembled(self) -> Iterator[Rows]:
        """Yield all batches of the epoch, several at a time; a thread assembles the next ones meanwhile."""
        width = 4 * self.size * int(np.prod(self.features.shape[1:]))
        count = max(1, ASSEMBLED // max(width, 1))
        starts = range(0, len(self), count)
        with ThreadPoolExecutor(1) as thread:
            future = thread.submit(self._join, starts[0], count)
            for next_start in [*starts[1:], None]:
                rows = future.result()
                if next_start is not None:
                    future = thread.submit(self._join, next_start, count)
                yield rows

    def _join(self, first: int, count: int) -> Rows:
        """Return `count` batches from the one at `first` on, concatenated."""
        batches = [self[place] for place in range(first, min(first + count, len(self)))]
        arrays = tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
        return Rows(arrays, np.arange(len(arrays[0])))

    def _features(self, first: int, index: Array) -> Array:
        """Return the features of one batch; its rows may be in two pools."""
        if not isinstance(self.features, ArrayFile):
            return self.features[index]
        parts, last = [], first + len(index)
        while first < last:
            number = first // self.pool
            end = min(last, (number + 1) * self.pool)
            parts.append(self._pool(number)[first - number * self.pool : end - number * self.pool])
            first = end
        return np.concatenate(parts)

    def _pool(self, number: int) -> Array:
        """Return the features of one pool, in the order of this epoch."""
        if self.loaded_pool[0] != number and isinstance(self.features, ArrayFile):
            self.loaded_pool = -1, None  # free it first: two pools would need twice the memory
            rows = self.order[number * self.pool : (number + 1) * self.pool]
            self.loaded_pool = number, self.features.take(rows)
        pool: Array = self.loaded_pool[1]
        return pool


def mixed(arrays: tuple[Array, ...], alpha: float, generator: np.random.Generator) -> tuple[Array, ...]:
    """Apply MixUp to all arrays alike; the larger share is the row's own."""
    rows = len(arrays[0])
    share = generator.beta(alpha, alpha, rows).astype(np.float32)
    share, partner = np.maximum(share, 1 - share), generator.permutation(rows)
    return tuple(_mix(array, share, partner) for array in arrays)


def _mix(array: Array, share: Array, partner: Array) -> Array:
    share = share.reshape(-1, *[1] * (array.ndim - 1))
    result: Array = share * array + (1 - share) * array[partner]
    return result
