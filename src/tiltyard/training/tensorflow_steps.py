"""Compiled loops over batches under TensorFlow: no Python, and no data set, between one step and the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tiltyard.arrays import Array
from tiltyard.training.batches import Rows

if TYPE_CHECKING:
    import keras


class TensorFlowSteps:
    """The training and the test step of a compiled model, in loops; the state is in the model's variables."""

    def __init__(self, model: keras.Model, size: int) -> None:
        self.train = _loop(model.train_step, size, jit=model.jit_compile)
        self.test = _loop(model.test_step, size, jit=model.jit_compile)

    def load(self, arrays: tuple[Array, ...]) -> tuple[Any, ...]:
        """Return arrays as tensors; on a GPU machine in main memory, from which batches are copied."""
        with tf.device("CPU:0"):
            return tuple(tf.constant(array) for array in arrays)

    def finish(self) -> None:
        """Do nothing: the variables are up to date."""


def _loop(step: Callable[[Any], Any], size: int, *, jit: bool) -> Callable[..., bool]:
    """Return a function that makes the steps `first` to `last`; it stops at a loss that is not finite."""
    compiled_step = tf.function(step, reduce_retracing=True, jit_compile=jit)

    def batch(arrays: tuple[Any, ...], order: Any, place: Any) -> tuple[Any, ...]:
        with tf.device("CPU:0"):
            index = order[place * size : (place + 1) * size]
            features, *other_arrays = (tf.gather(array, index) for array in arrays)
            return tf.cast(features, tf.float32), *other_arrays

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def loop(arrays: tuple[Any, ...], order: Any, first: Any, last: Any) -> Any:
        def should_continue(place: Any, loss: Any) -> Any:
            return tf.logical_and(place < last, tf.math.is_finite(loss))

        def body(place: Any, _: Any) -> Any:
            return place + 1, compiled_step(batch(arrays, order, place))["loss"]

        # one step at a time: each reads the weights that the step before has written
        return tf.while_loop(should_continue, body, (first, tf.constant(0.0)), parallel_iterations=1)[1]

    def run(rows: Rows, first: int, last: int) -> bool:
        places = (tf.constant(place, tf.int64) for place in (rows.order, first, last))
        return bool(tf.math.is_finite(loop(rows.arrays, *places)))

    return run
