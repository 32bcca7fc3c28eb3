"""Batches of training rows, in an order that depends only on seed and epoch, so a resumed run is the same."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.preparation.array_file import ArrayFile

BLOCK = 1024  # adjacent rows that are read together
POOL = 1 << 27  # bytes of features in memory at a time, if they do not all fit
AHEAD = 4  # batches that are prefetched


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Features, targets and weights; with a seed, they are shuffled in each epoch.

    Features that are too large for memory stay in their file. Shuffling single rows would need a read for each, so
    blocks of adjacent rows are shuffled, and then the rows of as many blocks as fit into memory.
    """

    def __init__(
        self,
        arrays: tuple[Array | ArrayFile, *tuple[Array, ...]],
        size: int,
        seed: int | None = None,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self.features, *self.others = arrays
        self.size = size
        self.seed = seed
        self.mixup = mixup
        self.epoch = 0
        self.order = np.arange(len(self.features))
        self.pool = len(self.order)
        if isinstance(self.features, ArrayFile):
            self.pool = max(size, POOL * len(self.features) // max(self.features.nbytes, 1))
        self.loaded_pool: tuple[int, Any] = -1, None  # index and features of the pool in memory
        self.inside: Any = None  # the order, if TensorFlow shuffles
        if seed is not None:
            self.deal(0)

    def __len__(self) -> int:
        """Return the number of batches per epoch; the last may be smaller."""
        return math.ceil(len(self.order) / self.size)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        """Return one batch."""
        first = place * self.size
        index = self.order[first : first + self.size]
        features = self._features(first, index).astype(np.float32, copy=False)  # images are stored as bytes
        arrays = features, *(array[index] for array in self.others)
        chance = np.random.default_rng([self.seed or 0, self.epoch, place]) if self.mixup else None
        return mixed(arrays, self.mixup, chance) if chance else arrays

    def deal(self, epoch: int) -> None:
        """Shuffle for an epoch. A callback calls this: Keras calls the hooks of a dataset more than once per epoch."""
        chance, rows = np.random.default_rng([self.seed or 0, epoch]), len(self.order)
        self.epoch = epoch
        self.loaded_pool = -1, None
        if not isinstance(self.features, ArrayFile):
            self.order = chance.permutation(rows)
            if self.inside is not None:
                self.inside.assign(self.order)
            return
        blocks = chance.permutation(math.ceil(rows / BLOCK))
        order = (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()
        self.order = order[order < rows]
        for start in range(0, rows, self.pool):
            chance.shuffle(self.order[start : start + self.pool])

    def fed(self) -> Any:
        """Return the dataset for Keras: these batches, or an equal tf.data pipeline, which is faster."""
        whole = not isinstance(self.features, ArrayFile) and not self.mixup
        return self._dataset() if whole and keras.backend.backend() == "tensorflow" else self

    def _dataset(self) -> Any:
        import tensorflow as tf

        with tf.device("CPU:0"):
            arrays = [tf.constant(array) for array in (self.features, *self.others)]
            self.inside = order = tf.Variable(self.order, trainable=False)

        def batch(place: Any) -> tuple[Any, ...]:
            index = order[place * self.size : (place + 1) * self.size]
            features, *others = (tf.gather(array, index) for array in arrays)
            return tf.cast(features, tf.float32), *others

        return tf.data.Dataset.range(len(self)).map(batch).prefetch(AHEAD)

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


def mixed(arrays: tuple[Array, ...], alpha: float, chance: np.random.Generator) -> tuple[Array, ...]:
    """Apply MixUp to all arrays alike; the larger share is the row's own."""
    rows = len(arrays[0])
    share = chance.beta(alpha, alpha, rows).astype(np.float32)
    share, partner = np.maximum(share, 1 - share), chance.permutation(rows)
    return tuple(_mix(array, share, partner) for array in arrays)


def _mix(array: Array, share: Array, partner: Array) -> Array:
    share = share.reshape(-1, *[1] * (array.ndim - 1))
    result: Array = share * array + (1 - share) * array[partner]
    return result
