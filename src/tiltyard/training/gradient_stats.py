"""Gradient statistics during training: gradients and weights by layer, and dead units."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from tensorboard.summary import Writer

from tiltyard.arrays import Array

ROWS = 64  # sampled; never more than a batch, which fits into memory
AT_ONCE = 1 << 20  # numbers per partial sum
ANSWER = "answer of the body"
Slopes = list[Any]
Probe = Callable[[Array, Array], tuple[dict[str, Any], Slopes]]


class GradientStats(keras.callbacks.Callback):  # type: ignore[misc]
    """Take snapshots before the first epoch and after the 1st, 2nd, 4th, 8th and so on."""

    def __init__(self, body: keras.Model, loss: str, rows: tuple[Array, Array], writer: Writer) -> None:
        super().__init__()
        self.names = _names(body)
        self.weighty = [layer for layer in body.layers if _weights(layer)]
        self.variables = [variable for layer in self.weighty for variable in _weights(layer)]
        self.probe = _probe(body, {self.names[layer.name]: layer for layer in body.layers if _rectified(layer)}, loss)
        self.rows = rows
        self.writer = writer
        self.snapshots: list[dict[str, Any]] = []  # restored in a resumed run

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Take a snapshot of the initial weights."""
        if not self.snapshots:
            self._note(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take a snapshot if it is due."""
        done = epoch + 1
        if done & (done - 1) == 0:
            self._note(done)

    def _note(self, epoch: int) -> None:
        seen = self.snapshot()
        self.snapshots.append({"epoch": epoch, **seen})
        for name, layers in seen.items():
            for layer, value in layers.items():
                self.writer.add_scalar(f"{name}/{layer}", math.nan if value is None else value, epoch)

    def snapshot(self) -> dict[str, dict[str, float | None]]:
        """Return root mean squares of gradients and weights by layer, and the shares of dead units."""
        fired, slopes = self.probe(*self.rows)
        alive = {name: np.asarray(most).reshape(-1, most.shape[-1]).max(axis=0) > 0 for name, most in fired.items()}
        return {
            "gradients": self._by_layer(slopes),
            "weights": self._by_layer([np.asarray(variable) for variable in self.variables]),
            "dead": {name: round(float(1 - units.mean()), 4) for name, units in alive.items()},
        }

    def _by_layer(self, arrays: list[Any]) -> dict[str, float | None]:
        rest = iter(arrays)
        return {self.names[layer.name]: _size([next(rest) for _ in _weights(layer)]) for layer in self.weighty}


def _names(body: keras.Model) -> dict[str, str]:
    """Return layer names numbered within the model; Keras numbers all layers of the process."""
    seen: Counter[str] = Counter()
    names = {}
    for layer in body.layers:
        kind = re.sub(r"_\d+$", "", layer.name)
        names[layer.name] = f"{kind}_{seen[kind]}" if seen[kind] else kind
        seen[kind] += 1
    return names


def _weights(layer: keras.layers.Layer) -> list[Any]:
    """Return the trainable weights except biases and scales."""
    return [variable for variable in layer.trainable_variables if len(variable.shape) > 1]


def _rectified(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu


def _probe(body: keras.Model, rectified: dict[str, keras.layers.Layer], loss: str) -> Probe:
    """Compile a function that returns the outputs of ReLU layers and the gradients of all weights."""
    outputs = {name: layer.output for name, layer in rectified.items()}
    model = keras.Model(body.input, {**outputs, ANSWER: body.output})

    def measured(targets: dict[str, Any], truth: Array) -> Any:
        # by name, Keras returns the loss per row, and needs targets in the output's shape
        guess = targets.pop(ANSWER)
        right = keras.ops.reshape(truth, keras.ops.shape(guess)) if guess.shape[-1] == 1 else truth
        return keras.ops.mean(keras.losses.get(loss)(right, guess))

    way = WAYS[keras.backend.backend()]
    return way(model, [v for layer in body.layers for v in _weights(layer)], measured)


def _by_tape(model: keras.Model, variables: list[Any], measured: Callable[..., Any]) -> Probe:
    import tensorflow as tf

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def probe(features: Array, truth: Array) -> tuple[dict[str, Any], Slopes]:
        with tf.GradientTape() as tape:
            targets = model(features, training=False)
            loss = measured(targets, truth)
        values = [variable.value for variable in variables]
        slopes = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return targets, [tf.convert_to_tensor(slope) for slope in slopes]  # those of embeddings are sparse

    return lambda features, truth: probe(tf.constant(features), tf.constant(truth))


def _by_function(model: keras.Model, variables: list[Any], measured: Callable[..., Any]) -> Probe:
    import jax

    wanted = [place for place, v in enumerate(model.trainable_variables) if any(v is one for one in variables)]

    @jax.jit  # type: ignore[untyped-decorator]
    def probe(trained: Slopes, fixed: Slopes, features: Array, truth: Array) -> Any:
        def objective(trained: Slopes) -> Any:
            targets, _ = model.stateless_call(trained, fixed, features, training=False)
            return measured(targets, truth), targets

        return jax.grad(objective, has_aux=True)(trained)

    def run(features: Array, truth: Array) -> tuple[dict[str, Any], Slopes]:
        trained = [variable.value for variable in model.trainable_variables]
        fixed = [variable.value for variable in model.non_trainable_variables]
        slopes, targets = probe(trained, fixed, features, truth)
        return targets, [slopes[place] for place in wanted]

    return run


def _size(arrays: list[Any]) -> float | None:
    """Return the root mean square of all numbers; None if it is not finite."""
    flat = [np.asarray(array).ravel() for array in arrays]
    mean = sum(map(_squares, flat)) / sum(array.size for array in flat)
    return float(f"{math.sqrt(mean):.6g}") if math.isfinite(mean) else None


def _squares(array: Array) -> float:
    """Sum squares in double precision, in chunks: a layer may have a hundred million weights."""
    parts = (array[start : start + AT_ONCE] for start in range(0, array.size, AT_ONCE))
    return sum(float(np.square(part, dtype=np.float64).sum()) for part in parts)


WAYS = {"tensorflow": _by_tape, "jax": _by_function}  # by backend; no statistics under others
