"""Perturb rows: noise, steps and missing values, within the bounds of each column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.metrics.scores import row_errors

STEPS = 8  # random directions, of which the worst is used, since ONNX has no gradients
MISSING = 0.1  # share of values that are masked
MAX_PIXEL = 255.0


def add_noise(rows: Rows, columns: Mapping[str, Column], size: float, generator: np.random.Generator) -> Rows | None:
    """Add noise of `size` standard deviations to every numeric column; None if there is none."""
    return _perturbed(rows, columns, size, generator.standard_normal)


def step(rows: Rows, columns: Mapping[str, Column], size: float, generator: np.random.Generator) -> Rows:
    """Move every numeric column by `size` standard deviations, up or down at random."""
    perturbed = _perturbed(rows, columns, size, lambda shape: generator.choice([-1.0, 1.0], shape))
    return perturbed or rows


def worst_case(truth: Array, outputs: Sequence[Array], *, labels: bool, scales: Array | None = None) -> Array:
    """Return for each row the outputs with the largest error."""
    errors = [row_errors(truth, candidate, labels=labels, scales=scales) for candidate in outputs]
    return worst_of(np.stack(errors), outputs)


def worst_of(errors: Array, outputs: Sequence[Array]) -> Array:
    """Return for each row the outputs with the largest of the given errors: (candidates, rows)."""
    worst: Array = np.stack(outputs)[errors.argmax(axis=0), np.arange(errors.shape[1])]
    return worst


def mask_missing(rows: Rows, columns: Mapping[str, Column], generator: np.random.Generator) -> Rows | None:
    """Mask a share of the values in columns that accept missing values; None if there are none."""
    changed = {}
    for name, values in rows.items():
        if getattr(columns[name], "missing", "refuse") == "refuse" or values.ndim > 1:
            continue
        masked = generator.random(len(values)) < MISSING
        changed[name] = np.where(masked, np.nan if values.dtype.kind == "f" else values.dtype.type(), values)
    return {**rows, **changed} if changed else None


def _perturbed(
    rows: Rows, columns: Mapping[str, Column], size: float, draw: Callable[[tuple[int, ...]], Array]
) -> Rows | None:
    """Move numbers, series and images; the standard deviation is that of the rows themselves."""
    changed = {}
    for name, values in rows.items():
        if columns[name].type not in ("number", "series", "image"):
            continue
        perturbed = values + size * float(np.nanstd(values)) * draw(values.shape)
        changed[name] = _clipped(columns[name], perturbed).astype(values.dtype)
    return {**rows, **changed} if changed else None


def _clipped(column: Column, values: Array) -> Array:
    if column.type == "image":
        return np.clip(np.rint(values), 0, MAX_PIXEL)
    bounds = getattr(column, "bounds", None)
    low, high = column.limits if isinstance(column, Number) else bounds or (-np.inf, np.inf)
    return np.clip(values, low, high)
