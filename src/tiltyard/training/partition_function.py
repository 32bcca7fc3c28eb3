"""The partition function of a restricted Boltzmann machine with Bernoulli units: exact if it is small, else estimated.

Its logarithm turns free energies into probabilities of rows: log p(row) = -free energy - log Z.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.models._rbm import Rbm

MAX_ENUMERATED = 20  # units of the smaller layer, of which all 2^20 states are summed
BLOCK = 1 << 12  # states at a time
PROBABILITY_FLOOR = 0.05  # of a pixel in the base distribution: none is certain


@dataclass(frozen=True)
class LogPartition:
    """The logarithm of the partition function, and the interval of three standard errors if it is an estimate."""

    value: float
    low: float | None  # None if the weights differ so much that the interval has no lower end
    high: float
    exact: bool


def log_partition(rbm: Rbm, rows: Array, chains: int = 100, temperatures: int = 1000, seed: int = 0) -> LogPartition:
    """Return log Z: the sum over all states of the smaller layer, or annealed importance sampling from the rows' means.

    `rows` are training rows, in [0, 1].
    """
    if min(rbm.weights.shape) <= MAX_ENUMERATED:
        value = enumerated(rbm)
        return LogPartition(value, value, value, exact=True)
    return annealed(rbm, base_biases(rows), chains, temperatures, seed)


def enumerated(rbm: Rbm) -> float:
    """Return log Z by summing over every state of the smaller layer; the other one is summed in closed form."""
    weights, visible, hidden = (np.asarray(part, np.float64) for part in rbm)
    if weights.shape[0] < weights.shape[1]:
        weights, visible, hidden = weights.T, hidden, visible
    count, total = len(hidden), -np.inf
    for start in range(0, 1 << count, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, 1 << count))
        states = (numbers[:, None] >> np.arange(count)) & 1
        terms = states @ hidden + _softplus(states @ weights.T + visible).sum(axis=1)
        total = np.logaddexp(total, _log_sum(terms))
    return float(total)


def annealed(rbm: Rbm, base: Array, chains: int, temperatures: int, seed: int) -> LogPartition:
    """Estimate log Z by annealed importance sampling (Salakhutdinov and Murray, 2008).

    Chains begin in a machine without weights whose visible biases are `base`, and follow machines between it and ours.
    """
    weights, visible, hidden = (np.asarray(part, np.float64) for part in rbm)
    generator, betas = np.random.default_rng(seed), np.linspace(0, 1, temperatures + 1)
    state = (generator.random((chains, len(visible))) < _sigmoid(base)).astype(np.float64)
    logs = np.zeros(chains)

    def unnormalised(rows: Array, inputs: Array, beta: float) -> Array:
        return np.asarray(rows @ ((1 - beta) * base + beta * visible) + _softplus(beta * inputs).sum(axis=1))

    for before, beta in itertools.pairwise(betas):
        inputs = state @ weights + hidden
        logs += unnormalised(state, inputs, beta) - unnormalised(state, inputs, before)
        units = generator.random(inputs.shape) < _sigmoid(beta * inputs)
        means = _sigmoid((1 - beta) * base + beta * (visible + units @ weights.T))
        state = (generator.random(state.shape) < means).astype(np.float64)
    start = _softplus(base).sum() + len(hidden) * np.log(2)  # log Z of the first machine
    return _estimate(start, logs)


def _estimate(start: float, logs: Array) -> LogPartition:
    """Return the logarithm of the mean weight, with three standard errors on either side."""
    highest = logs.max()
    weights = np.exp(logs - highest)
    mean, error = weights.mean(), 3 * weights.std(ddof=1) / np.sqrt(len(weights))
    value, high = (float(start + highest + np.log(part)) for part in (mean, mean + error))
    low = float(start + highest + np.log(mean - error)) if mean > error else None
    return LogPartition(value, low, high, exact=False)


def base_biases(rows: Array) -> Array:
    """Return the visible biases of a machine without weights that has the means of some rows."""
    means = np.clip(rows.mean(axis=0, dtype=np.float64), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return np.asarray(np.log(means / (1 - means)))


def _log_sum(terms: Array) -> Any:
    highest = terms.max()
    return highest + np.log(np.exp(terms - highest).sum())


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))
