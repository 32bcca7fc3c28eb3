"""A compiled alternating step under TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tiltyard.training.adversarial.trainer import AdversarialTrainer, Figures


def compiled(trainer: AdversarialTrainer) -> Any:
    """Return a function that makes one step with a batch and noise, and returns its figures."""

    @tf.function(jit_compile=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def step(batch: tuple[Any, ...], noise: Any) -> Figures:
        return trainer.alternate(batch, noise, _gradients, _by_input)

    return step


def _gradients(loss: Any, variables: list[Any]) -> tuple[list[Any], Figures]:
    with tf.GradientTape() as tape:
        value, figures = loss()
    return tape.gradient(value, [variable.value for variable in variables]), figures


def _by_input(function: Any, x: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)
