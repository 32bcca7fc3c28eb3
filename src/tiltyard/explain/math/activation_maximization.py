"""Ascent: from noise to a picture or a window that makes a figure of a network as large as it gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

Climb = Callable[[Array], Array]  # what goes in to the slope of a figure

STEPS = 160
RATE = 0.1  # of the first step, in units of `scale`; later ones are shorter
DECAY = 2.0  # by which a step draws to the middle: what nothing asks for goes back to it
VARIATION = 0.3  # by which neighbours draw to each other
SHIFTED = 16  # a picture is moved by at most its size over this, so that no place is a special one


@dataclass(frozen=True)
class Ground:
    """What the ascent starts around: the middle, what counts as far from it, and the bounds."""

    middle: Array
    scale: Array
    low: float = -np.inf
    high: float = np.inf


PIXELS = Ground(np.array(127.5), np.array(127.5), 0.0, 255.0)


def maximize(shape: tuple[int, ...], climb: Climb, ground: Ground, generator: np.random.Generator) -> Array:
    """Climb from noise; each row of (rows, ...) by itself, in steps whose size does not hang on how steep it is."""
    x = 0.1 * generator.standard_normal(shape)  # in units of the scale
    axes = tuple(range(1, len(shape)))
    for step in range(STEPS):
        shifts = _shifts(shape, generator)
        x = np.roll(x, shifts, axis=(1, 2)) if shifts else x
        slope = climb(_within(x, ground)) * ground.scale
        size = np.sqrt(np.square(slope).mean(axis=axes, keepdims=True))
        push = slope / np.maximum(size, 1e-12) - DECAY * x - (VARIATION * _ragged(x) if shifts is not None else 0)
        x = x + RATE * (1 - step / STEPS) * push
        x = (_within(x, ground) - ground.middle) / ground.scale
        x = np.roll(x, [-one for one in shifts], axis=(1, 2)) if shifts else x
    return _within(x, ground)


def _within(x: Array, ground: Ground) -> Array:
    return np.asarray(np.clip(ground.middle + ground.scale * x, ground.low, ground.high))


def _shifts(shape: tuple[int, ...], generator: np.random.Generator) -> list[int] | None:
    """Draw by how much a picture is moved, down and across; None where it is no picture."""
    if len(shape) != 4:
        return None
    return [int(generator.integers(-(size // SHIFTED), size // SHIFTED + 1)) for size in shape[1:3]]


def _ragged(x: Array) -> Array:
    """Return the slope of the total variation, so smoothed that it is one where there is no difference."""
    slope = np.zeros_like(x)
    for axis in (1, 2):
        step = np.diff(x, axis=axis)
        pull = step / np.sqrt(np.square(step) + 0.01)
        ends = [(0, 0)] * x.ndim
        ends[axis] = (1, 0)
        slope += np.pad(pull, ends)
        ends[axis] = (0, 1)
        slope -= np.pad(pull, ends)
    return slope
