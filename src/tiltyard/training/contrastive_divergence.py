"""Contrastive divergence: one update of a restricted Boltzmann machine, in tensors, the same under every backend.

Random numbers are drawn outside by NumPy, so that backends draw the same ones and a resumed training repeats them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from tiltyard.arrays import Array
from tiltyard.modeling.models._rbm import ContrastiveDivergence, Rbm, Visible

FIRST_EPOCHS, FIRST_MOMENTUM = 5, 0.5  # the first updates are large and unsteady
INITIAL_STD = 0.01  # of the weights
MEMORY = 0.9  # of the mean activations by which sparsity is judged, from batch to batch


class State(NamedTuple):
    """Everything that an update changes."""

    rbm: Rbm
    velocity: Rbm
    activation: Any  # the running mean activation of each hidden unit
    chains: Any  # hidden units of the persistent chains


@dataclass(frozen=True)
class Draws:
    """Uniform random numbers of one update: (steps + 1, batch, hidden) and (steps, batch, visible)."""

    hidden: Array
    visible: Array


def initial_state(visible: int, hidden: int, chains: int, seed: list[int]) -> State:
    """Return small random weights, and chains of random hidden units."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(scale=INITIAL_STD, size=(visible, hidden)).astype(np.float32)
    rbm = Rbm(weights, np.zeros(visible, np.float32), np.zeros(hidden, np.float32))
    velocity = Rbm(*(np.zeros_like(part) for part in rbm))
    particles = (generator.random((chains, hidden)) < 0.5).astype(np.float32)
    return State(rbm, velocity, np.full(hidden, 0.5, np.float32), particles)


def hidden_probabilities(rbm: Rbm, visible: Any) -> Any:
    """Return the probability of each hidden unit."""
    return ops.sigmoid(ops.matmul(visible, rbm.weights) + rbm.hidden_bias)


def visible_means(rbm: Rbm, hidden: Any, kind: Visible) -> Any:
    """Return the mean of each visible unit: a probability, or a number of variance 1."""
    total = ops.matmul(hidden, ops.transpose(rbm.weights)) + rbm.visible_bias
    return ops.sigmoid(total) if kind == "bernoulli" else total


def free_energy(rbm: Rbm, visible: Any, kind: Visible) -> Any:
    """Return the free energy of each row: less its logarithm of the probability, but for a constant."""
    hidden = ops.sum(ops.softplus(ops.matmul(visible, rbm.weights) + rbm.hidden_bias), axis=1)
    if kind == "gaussian":
        return ops.sum(ops.square(visible - rbm.visible_bias), axis=1) / 2 - hidden
    return -ops.matmul(visible, rbm.visible_bias) - hidden


def draw(shape: tuple[int, int, int], settings: ContrastiveDivergence, kind: Visible, seed: list[int]) -> Draws:
    """Return the random numbers of an update for (batch, visible, hidden); none of visible units that are means."""
    (rows, visible, hidden), generator = shape, np.random.default_rng(seed)
    uniform = generator.random((settings.steps + 1, rows, hidden), dtype=np.float32)
    if not settings.draws_visible:
        return Draws(uniform, np.zeros((settings.steps, 1, 1), np.float32))
    size = (settings.steps, rows, visible)
    noise = generator.random(size, dtype=np.float32) if kind == "bernoulli" else None
    return Draws(uniform, generator.standard_normal(size, dtype=np.float32) if noise is None else noise)


def _sampled(means: Any, draws: Any, kind: Visible) -> Any:
    return ops.cast(draws < means, "float32") if kind == "bernoulli" else means + draws


def update_function(settings: ContrastiveDivergence, kind: Visible) -> Callable[..., tuple[State, Any]]:
    """Return the compiled update: state, rows, draws of hidden and visible units, momentum and rate -> state and error.

    The error is the mean squared difference of the rows and of what one step makes of them.
    """

    def update(state: State, rows: Any, hidden_draws: Any, visible_draws: Any, speed: Any) -> tuple[State, Any]:
        rbm, count, (momentum, rate) = state.rbm, rows.shape[0], (speed[0], speed[1])
        positive = hidden_probabilities(rbm, rows)
        start = ops.cast(hidden_draws[0] < positive, "float32")
        error = ops.mean(ops.square(rows - visible_means(rbm, start, kind)))
        hidden = state.chains if settings.persistent else start
        for step in range(settings.steps):
            visible = visible_means(rbm, hidden, kind)
            if settings.draws_visible:
                visible = _sampled(visible, visible_draws[step], kind)
            negative = hidden_probabilities(rbm, visible)
            hidden = ops.cast(hidden_draws[step + 1] < negative, "float32")
        difference = Rbm(
            (ops.matmul(ops.transpose(rows), positive) - ops.matmul(ops.transpose(visible), negative)) / count
            - settings.weight_decay * rbm.weights,
            ops.mean(rows - visible, axis=0),
            ops.mean(positive - negative, axis=0),
        )
        activation = MEMORY * state.activation + (1 - MEMORY) * ops.mean(positive, axis=0)
        if settings.sparsity:
            pull = settings.sparsity.weight * (settings.sparsity.rho - activation)
            difference = difference._replace(hidden_bias=difference.hidden_bias + pull)
        velocity = Rbm(*(momentum * old + rate * new for old, new in zip(state.velocity, difference, strict=True)))
        changed = Rbm(*(old + new for old, new in zip(rbm, velocity, strict=True)))
        return State(changed, velocity, activation, hidden), error

    return compiled(update)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors, compiled by the backend."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)  # type: ignore[no-any-return]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)  # type: ignore[no-any-return]
    return function


def momentum_of(settings: ContrastiveDivergence, epoch: int) -> float:
    """Return the momentum of an epoch, from 0."""
    return min(settings.momentum, FIRST_MOMENTUM) if epoch < FIRST_EPOCHS else settings.momentum
