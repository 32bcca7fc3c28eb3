"""Drift reference: histograms of the training rows by column, small enough for the package.

Columns are compared in encoded form, as training rows are stored: numbers by their feature, with missing values
counted separately; one-hot flags by their index; images and series by their mean; texts by their length. Rows of
several kinds of columns are compared in the same way, column by column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import PLAIN
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.drift_distance import BINS, Distance, psi

MAX_FLAGS = 20  # one-hot flags counted separately; all others are counted together

Spread = dict[str, Any]  # histogram of a column: bin edges or flag indices, and counts; missing values last


def reference(encoder: Encoder, features: Array) -> dict[str, Spread]:
    """Build the histograms of encoded training rows."""
    return {name: _spread(values) for name, values in per_column(encoder, features).items()}


def per_column(encoder: Encoder, features: Array) -> dict[str, Array]:
    """Return one array per column: floats with NaN for missing values, or indices of one-hot flags."""
    if encoder.bare:
        (name,) = encoder.columns
        return {name: _summary(features.reshape(len(features), -1), ids=encoder.vocabulary_size > 0)}
    if features.ndim > 2:  # several series: one channel each
        return {name: features[..., index].mean(axis=1) for index, name in enumerate(encoder.columns)}
    arrays, spans = {}, encoder.spans
    for name, column in encoder.columns.items():
        columns = features[:, spans[name]]
        if column.branch != "table":
            arrays[name] = _summary(columns, ids=column.branch == "text")
        elif all(scale == PLAIN for scale in column.scaling(encoder.fitted[name])):
            arrays[name] = np.where(columns.any(axis=1), columns.argmax(axis=1), -1)
        else:
            may_be_missing = isinstance(column, Number) and column.missing == "median"
            numbers = columns[:, 0]
            arrays[name] = (
                np.where(columns[:, 1] > 0, np.nan, numbers) if may_be_missing else numbers.astype(np.float64)
            )
    return arrays


def _summary(rows: Array, *, ids: bool) -> Array:
    """Return the number of tokens of each text, or the mean of each image or series."""
    numbers = rows.astype(np.float64)
    return np.asarray((numbers != 0).sum(axis=1) * 1.0 if ids else numbers.mean(axis=1))


def from_instances(encoder: Encoder, instances: list[Any]) -> dict[str, Array]:
    """Return the arrays of `per_column` for instances as a client sends them."""
    return per_column(encoder, encoder.encode(encoder.parse(instances)))


def _spread(values: Array) -> Spread:
    if values.dtype.kind == "i":
        flags, counts = np.unique(values, return_counts=True)
        spread: Spread = {"places": flags[np.argsort(-counts, kind="stable")][:MAX_FLAGS].tolist()}
    else:
        present = values[~np.isnan(values)]
        edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS)) if len(present) else np.empty(0)
        spread = {"edges": edges.tolist()}
    return {**spread, "counts": count(spread, values).tolist()}


def count(spread: Spread, values: Array) -> Array:
    """Count other values in the same bins."""
    if "places" in spread:
        bins = [int((values == flag).sum()) for flag in spread["places"]]
        return np.array([*bins, len(values) - sum(bins)])
    present = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(spread["edges"], present, side="left"), minlength=len(spread["edges"]) + 1)
    return np.append(counts, len(values) - len(present))


def distance(spread: Spread, values: Array) -> Distance:
    """Return the PSI of values against the training rows."""
    old, new = np.array(spread["counts"]), count(spread, values)
    used = (old + new) > 0
    return psi(old[used], new[used])
