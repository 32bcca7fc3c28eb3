"""Activation maximization: gradient ascent from noise to the input with the largest score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array

Gradient = Callable[[Array], Array]  # from inputs to the gradient of the score

STEPS = 160
STEP_SIZE = 0.1  # of the first step, in units of `scale`; steps get shorter
L2_DECAY = 2.0  # pulls inputs that do not affect the score back to the middle
VARIATION_WEIGHT = 0.3  # weight of the total variation, which smooths images
SHIFT_DIVISOR = 16  # an image is shifted by up to its size over this in each step, so that no position is special


@dataclass(frozen=True)
class InputRange:
    """The usual range of inputs: middle and scale, and the bounds that must not be crossed."""

    middle: Array
    scale: Array
    low: float = -np.inf
    high: float = np.inf


PIXELS = InputRange(np.array(127.5), np.array(127.5), 0.0, 255.0)


def maximize(shape: tuple[int, ...], gradient: Gradient, bounds: InputRange, generator: np.random.Generator) -> Array:
    """Run gradient ascent from noise on each row of (rows, ...), with steps of normalized length."""
    x = 0.1 * generator.standard_normal(shape)  # in units of the scale
    axes = tuple(range(1, len(shape)))
    for step in range(STEPS):
        shifts = _shifts(shape, generator)
        x = np.roll(x, shifts, axis=(1, 2)) if shifts else x
        slope = gradient(_to_input(x, bounds)) * bounds.scale
        size = np.sqrt(np.square(slope).mean(axis=axes, keepdims=True))
        roughness = VARIATION_WEIGHT * _variation_gradient(x) if shifts is not None else 0
        update = slope / np.maximum(size, 1e-12) - L2_DECAY * x - roughness
        x = x + STEP_SIZE * (1 - step / STEPS) * update
        x = (_to_input(x, bounds) - bounds.middle) / bounds.scale
        x = np.roll(x, [-shift for shift in shifts], axis=(1, 2)) if shifts else x
    return _to_input(x, bounds)


def _to_input(x: Array, bounds: InputRange) -> Array:
    return np.asarray(np.clip(bounds.middle + bounds.scale * x, bounds.low, bounds.high))


def _shifts(shape: tuple[int, ...], generator: np.random.Generator) -> list[int] | None:
    """Draw the random shift of an image, down and across; return None for other inputs."""
    if len(shape) != 4:
        return None
    return [int(generator.integers(-(size // SHIFT_DIVISOR), size // SHIFT_DIVISOR + 1)) for size in shape[1:3]]


def _variation_gradient(x: Array) -> Array:
    """Return the gradient of the smoothed total variation."""
    total = np.zeros_like(x)
    for axis in (1, 2):
        step = np.diff(x, axis=axis)
        smoothed = step / np.sqrt(np.square(step) + 0.01)
        ends = [(0, 0)] * x.ndim
        ends[axis] = (1, 0)
        total += np.pad(smoothed, ends)
        ends[axis] = (0, 1)
        total -= np.pad(smoothed, ends)
    return total
