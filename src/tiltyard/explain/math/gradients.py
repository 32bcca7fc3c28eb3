"""Slopes: how much a figure changes as what a network reads is changed, under each backend that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array

AT_ONCE = 1 << 16  # numbers of rows that go through a network together: its maps hold many times as many

Objective = Callable[..., Any]  # tensors to a figure for each row
Sloped = Callable[..., tuple[Array, Array]]


def value_and_gradient(objective: Objective) -> Sloped:
    """Compile a function that gives the figure of each row and its slope by the first argument."""
    steady()
    way = WAYS[keras.backend.backend()](objective)

    def run(x: Array, *others: Array) -> tuple[Array, Array]:
        some = max(1, AT_ONCE // int(np.prod(x.shape[1:])))
        parts = [slice(start, start + some) for start in range(0, len(x), some)]
        found = [way(x[part].astype(np.float32), *(other[part] for other in others)) for part in parts]
        values, slopes = (np.concatenate([np.asarray(one) for one in of]) for of in zip(*found, strict=True))
        return values, slopes

    return run


def steady() -> None:
    """Let sums be made in the same order each time: in another one they would have other digits."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _by_tape(objective: Objective) -> Objective:
    import tensorflow as tf

    @tf.function(jit_compile=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def probe(x: Any, *others: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = objective(x, *others)
        return value, tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return lambda x, *others: probe(tf.constant(x), *map(tf.constant, others))


def _by_function(objective: Objective) -> Objective:
    import jax

    def summed(x: Any, *others: Any) -> tuple[Any, Any]:
        value = objective(x, *others)
        return value.sum(), value

    @jax.jit  # type: ignore[untyped-decorator]
    def probe(x: Any, *others: Any) -> tuple[Any, Any]:
        (_, value), slope = jax.value_and_grad(summed, has_aux=True)(x, *others)
        return value, slope

    return probe  # type: ignore[no-any-return]


WAYS: dict[str, Callable[[Objective], Objective]] = {"tensorflow": _by_tape, "jax": _by_function}  # by backend
