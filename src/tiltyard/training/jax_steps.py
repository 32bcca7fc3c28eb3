"""Compiled loops over batches under JAX: one call makes many steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from tiltyard.arrays import Array
from tiltyard.training.batches import Rows

if TYPE_CHECKING:
    import keras

State = tuple[list[Any], ...]


class JaxSteps:
    """The training and the test step of a compiled model, in loops.

    The state is outside the model until `finish`: assigning to the variables after each call would take longer than
    the steps of a small model.
    """

    def __init__(self, model: keras.Model, size: int) -> None:
        self.model = model
        self.size = size
        self.loops = {mode: _loop(step) for mode, step in (("train", model.train_step), ("test", model.test_step))}
        self.state: State | None = None
        self.mode = ""

    def load(self, arrays: tuple[Array, ...]) -> tuple[Any, ...]:
        """Return arrays on the device."""
        return tuple(map(jnp.asarray, arrays))

    def train(self, rows: Rows, first: int, last: int) -> bool:
        """Make the training steps `first` to `last`; stop at a loss that is not finite, and return whether all are."""
        return self._run("train", rows, first, last)

    def test(self, rows: Rows, first: int, last: int) -> bool:
        """Make the test steps `first` to `last`."""
        return self._run("test", rows, first, last)

    def finish(self) -> None:
        """Assign the state to the variables of the model."""
        for variables, values in zip(self._variables(), self.state or (), strict=False):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        self.state = None

    def _run(self, mode: str, rows: Rows, first: int, last: int) -> bool:
        """Run whole batches in one loop; a smaller last one is compiled for its own size."""
        self.mode = mode
        full, finite = len(rows.order) // self.size, True
        if first < (end := min(last, full)):
            finite = self._call(rows.arrays, rows.order[: full * self.size], self.size, range(first, end))
        if finite and last > full:
            last_batch = rows.order[full * self.size :]
            finite = self._call(rows.arrays, last_batch, len(last_batch), range(1))
        return finite

    def _call(self, arrays: tuple[Any, ...], order: Array, size: int, places: range) -> bool:
        state = self.state or tuple([variable.value for variable in variables] for variables in self._variables())
        ends = np.int32(places.start), np.int32(places.stop)
        loss, self.state = self.loops[self.mode](size, state, (arrays, jnp.asarray(order)), ends)
        return bool(jnp.isfinite(loss))

    def _variables(self) -> tuple[list[Any], ...]:
        """Return the variables that a step reads and writes, as `train_step` and `test_step` of Keras expect them."""
        model = self.model
        optimizer = (model.optimizer.variables,) if self.mode == "train" else ()
        return model.trainable_variables, model.non_trainable_variables, *optimizer, model.metrics_variables


def _loop(step: Callable[..., Any]) -> Callable[..., Any]:
    def loop(size: int, state: State, rows: tuple[tuple[Any, ...], Any], ends: tuple[Any, Any]) -> Any:
        (arrays, order), (first, last) = rows, ends

        def should_continue(carry: Any) -> Any:
            return (carry[0] < last) & jnp.isfinite(carry[1])

        def body(carry: Any) -> Any:
            place, _, state = carry
            index = jax.lax.dynamic_slice_in_dim(order, place * size, size)
            features, *other_arrays = (array[index] for array in arrays)
            logs, state = step(state, (features.astype(jnp.float32), *other_arrays))
            return place + 1, logs["loss"], state

        _, loss, state = jax.lax.while_loop(should_continue, body, (first, jnp.float32(0.0), state))
        return loss, state

    compiled: Callable[..., Any] = jax.jit(loop, static_argnums=0, donate_argnums=1)
    return compiled
