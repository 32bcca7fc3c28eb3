"""Gradient statistics during training: gradients and weights by layer, and dead units."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.training.event_writer import EventWriter

ROWS = 64  # sampled; never more than a batch, which fits into memory
AT_ONCE = 1 << 20  # numbers per partial sum
OUTPUT_KEY = "answer of the body"
Gradients = list[Any]
Probe = Callable[[Array, Array], tuple[dict[str, Any], Gradients]]


class GradientStats(keras.callbacks.Callback):  # type: ignore[misc]
    """Take snapshots before the first epoch and after the 1st, 2nd, 4th, 8th and so on."""

    def __init__(
        self,
        body: keras.Model,
        loss: str,
        rows: tuple[Array, Array],
        writer: EventWriter,
        *,
        histograms: bool = False,
    ) -> None:
        super().__init__()
        self.names = _names(body)
        self.weighted_layers = [layer for layer in body.layers if _weights(layer)]
        self.variables = [variable for layer in self.weighted_layers for variable in _weights(layer)]
        self.probe = _probe(body, {self.names[layer.name]: layer for layer in body.layers if _rectified(layer)}, loss)
        self.rows = rows
        self.writer = writer
        self.histograms = histograms
        self.snapshots: list[dict[str, Any]] = []  # restored in a resumed run

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Take a snapshot of the initial weights."""
        if not self.snapshots:
            self._add_snapshot(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take a snapshot if it is due."""
        done = epoch + 1
        if done & (done - 1) == 0:
            self._add_snapshot(done)

    def _add_snapshot(self, epoch: int) -> None:
        values = self.snapshot()
        self.snapshots.append({"epoch": epoch, **values})
        for name, layers in values.items():
            for layer, value in layers.items():
                self.writer.add_scalar(f"{name}/{layer}", math.nan if value is None else value, epoch)
        if self.histograms:
            self._add_histograms(epoch)

    def _add_histograms(self, epoch: int) -> None:
        """Write the distribution of the weights of each layer, and of their gradients."""
        _, gradients = self.probe(*self.rows)
        layers = [layer for layer in self.weighted_layers for _ in _weights(layer)]
        for layer, variable, gradient in zip(layers, self.variables, gradients, strict=True):
            name = f"{self.names[layer.name]}/{variable.name}"
            self.writer.add_histogram(f"weights/{name}", np.asarray(variable), epoch)
            self.writer.add_histogram(f"gradients/{name}", np.asarray(gradient), epoch)

    def snapshot(self) -> dict[str, dict[str, float | None]]:
        """Return root mean squares of gradients and weights by layer, and the shares of dead units."""
        activations, gradients = self.probe(*self.rows)
        alive = {
            name: np.asarray(outputs).reshape(-1, outputs.shape[-1]).max(axis=0) > 0
            for name, outputs in activations.items()
        }
        return {
            "gradients": self._by_layer(gradients),
            "weights": self._by_layer([np.asarray(variable) for variable in self.variables]),
            "dead": {name: round(float(1 - units.mean()), 4) for name, units in alive.items()},
        }

    def _by_layer(self, arrays: list[Any]) -> dict[str, float | None]:
        remaining = iter(arrays)
        return {
            self.names[layer.name]: _size([next(remaining) for _ in _weights(layer)]) for layer in self.weighted_layers
        }


def _names(body: keras.Model) -> dict[str, str]:
    """Return layer names numbered within the model; Keras numbers all layers of the process."""
    counts: Counter[str] = Counter()
    names = {}
    for layer in body.layers:
        kind = re.sub(r"_\d+$", "", layer.name)
        names[layer.name] = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
    return names


def _weights(layer: keras.layers.Layer) -> list[Any]:
    """Return the trainable weights except biases and scales."""
    return [variable for variable in layer.trainable_variables if len(variable.shape) > 1]


def _rectified(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu


def _probe(body: keras.Model, rectified: dict[str, keras.layers.Layer], loss: str) -> Probe:
    """Compile a function that returns the outputs of ReLU layers and the gradients of all weights."""
    outputs = {name: layer.output for name, layer in rectified.items()}
    model = keras.Model(body.input, {**outputs, OUTPUT_KEY: body.output})

    def mean_loss(targets: dict[str, Any], truth: Array) -> Any:
        # by name, Keras returns the loss per row, and needs targets in the output's shape
        prediction = targets.pop(OUTPUT_KEY)
        expected = keras.ops.reshape(truth, keras.ops.shape(prediction)) if prediction.shape[-1] == 1 else truth
        return keras.ops.mean(keras.losses.get(loss)(expected, prediction))

    build = PROBE_BUILDERS[keras.backend.backend()]
    return build(model, [v for layer in body.layers for v in _weights(layer)], mean_loss)


def _by_tape(model: keras.Model, variables: list[Any], mean_loss: Callable[..., Any]) -> Probe:
    import tensorflow as tf

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def probe(features: Array, truth: Array) -> tuple[dict[str, Any], Gradients]:
        with tf.GradientTape() as tape:
            targets = model(features, training=False)
            loss = mean_loss(targets, truth)
        values = [variable.value for variable in variables]
        slopes = tape.gradient(loss, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return targets, [tf.convert_to_tensor(slope) for slope in slopes]  # those of embeddings are sparse

    return lambda features, truth: probe(tf.constant(features), tf.constant(truth))


def _by_function(model: keras.Model, variables: list[Any], mean_loss: Callable[..., Any]) -> Probe:
    import jax

    positions = [place for place, v in enumerate(model.trainable_variables) if any(v is chosen for chosen in variables)]

    @jax.jit  # type: ignore[untyped-decorator]
    def probe(trained: Gradients, fixed: Gradients, features: Array, truth: Array) -> Any:
        def objective(trained: Gradients) -> Any:
            targets, _ = model.stateless_call(trained, fixed, features, training=False)
            return mean_loss(targets, truth), targets

        return jax.grad(objective, has_aux=True)(trained)

    def run(features: Array, truth: Array) -> tuple[dict[str, Any], Gradients]:
        trained = [variable.value for variable in model.trainable_variables]
        fixed = [variable.value for variable in model.non_trainable_variables]
        slopes, targets = probe(trained, fixed, features, truth)
        return targets, [slopes[place] for place in positions]

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


PROBE_BUILDERS = {"tensorflow": _by_tape, "jax": _by_function}  # by backend; no statistics under others
