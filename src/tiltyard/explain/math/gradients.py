"""Gradients of the output that is explained with respect to the inputs, under TensorFlow and JAX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.problems.classification import probabilities

if TYPE_CHECKING:
    from tiltyard.modeling.problems.base import Target

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


@dataclass(frozen=True)
class ExplainedOutput:
    """A model, and the label whose probability is explained, if it predicts labels."""

    predictor: Predictor
    label: int | None

    @classmethod
    def for_row(cls, predictor: Predictor, features: Array) -> ExplainedOutput:
        """Explain the label that is predicted for one encoded row; of several, the most probable one."""
        if predictor.encoder.problem.targets not in ("label", "labels"):
            return cls(predictor, None)
        return cls(predictor, int(probabilities(predictor.run(features))[0].argmax()))

    def describe(self, target: Target) -> str:
        """Describe the output, for a sentence or an axis."""
        if self.name:
            return f"the probability of {self.name if self.name[:1].isalpha() else f'label {self.name}'}"
        ahead = " one step ahead" if target.horizon > 1 else ""
        return f"{target.column}{ahead}" + (f" ({target.unit})" if target.unit else "")

    @property
    def name(self) -> str | None:
        """The name of the label."""
        return None if self.label is None else self.predictor.encoder.classes[self.label]

    def __call__(self, features: Array) -> Array:
        """Return the explained output of each encoded row."""
        outputs = self.predictor.run(features)
        if self.label is not None:
            outputs = probabilities(outputs)[:, self.label]
        numbers: Array = outputs.reshape(len(outputs), -1)[:, 0].astype(np.float64)
        return numbers
