"""Gradients of a Keras function with respect to its inputs, under TensorFlow and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array

MAX_BATCH_VALUES = 1 << 16  # input values of one batch: feature maps hold many times as many

Objective = Callable[..., Any]  # from tensors to one value for each row
ValueAndGradient = Callable[..., tuple[Array, Array]]


def value_and_gradient(objective: Objective) -> ValueAndGradient:
    """Compile a function that returns the value of each row and its gradient by the first argument."""
    enable_determinism()
    compiled = BACKENDS[keras.backend.backend()](objective)

    def run(x: Array, *arguments: Array) -> tuple[Array, Array]:
        size = max(1, MAX_BATCH_VALUES // int(np.prod(x.shape[1:])))
        batches = [slice(start, start + size) for start in range(0, len(x), size)]
        results = [
            compiled(x[batch].astype(np.float32), *(argument[batch] for argument in arguments)) for batch in batches
        ]
        values, gradients = (
            np.concatenate([np.asarray(batch_values) for batch_values in batches_of_output])
            for batches_of_output in zip(*results, strict=True)
        )
        return values, gradients

    return run


def enable_determinism() -> None:
    """Make TensorFlow add in a fixed order; another order would change the last digits."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _tensorflow(objective: Objective) -> Objective:
    import tensorflow as tf

    @tf.function(jit_compile=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def compute(x: Any, *arguments: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = objective(x, *arguments)
        return value, tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return lambda x, *arguments: compute(tf.constant(x), *map(tf.constant, arguments))


def _jax(objective: Objective) -> Objective:
    import jax

    def summed(x: Any, *arguments: Any) -> tuple[Any, Any]:
        value = objective(x, *arguments)
        return value.sum(), value

    @jax.jit  # type: ignore[untyped-decorator]
    def compute(x: Any, *arguments: Any) -> tuple[Any, Any]:
        (_, value), gradient = jax.value_and_grad(summed, has_aux=True)(x, *arguments)
        return value, gradient

    return compute  # type: ignore[no-any-return]


BACKENDS: dict[str, Callable[[Objective], Objective]] = {"tensorflow": _tensorflow, "jax": _jax}  # by backend
