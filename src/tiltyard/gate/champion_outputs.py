"""The champion's outputs for the sealed rows; it refuses rows with a class or a value that it does not know."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array, Rows, take_rows
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.problems.classification import probabilities
from tiltyard.preparation.sealed_test import TestRows


def served_rows(predictor: Predictor, classes: list[str], test: TestRows) -> Array:
    """Return which rows the champion serves: their classes and their values are among those that it knows."""
    served = np.ones(len(test.truth), dtype=bool)
    for name, column in predictor.encoder.columns.items():
        served &= _accepted(column, test.rows[name])
    if classes:
        served_classes = np.isin(classes, predictor.encoder.classes)
        if test.truth.dtype.kind == "b":
            served &= ~test.truth[:, ~served_classes].any(axis=1)
        else:
            served &= served_classes[test.truth.astype(np.int64)]
    return served


def champion_outputs(predictor: Predictor, classes: list[str], test: TestRows, served: Array, baseline: Array) -> Array:
    """Return the champion's outputs, in the order of the task's classes; those of the baseline where it refuses."""
    places, rows = np.flatnonzero(served), test.rows
    if not len(places):
        return baseline
    accepted_rows: Rows = rows if served.all() else take_rows(rows, places)
    outputs = predictor.condensed(accepted_rows, test.truth[places])
    if classes and predictor.encoder.classes != classes:
        outputs = _reordered(probabilities(outputs), predictor.encoder.classes, classes)
        outputs = outputs if test.truth.dtype.kind == "b" else _normalised(outputs)
    if served.all():
        return outputs
    outputs = probabilities(outputs) if classes else outputs
    all_outputs = np.array(np.broadcast_to(baseline.astype(outputs.dtype), (len(served), *outputs.shape[1:])))
    all_outputs[places] = outputs
    return all_outputs


def _accepted(column: Column, values: Array) -> Array:
    """Return which values of a column a service accepts."""
    if isinstance(column, Category):
        blank = values == "" if column.missing == "bucket" else np.zeros(len(values), dtype=bool)
        named = np.isin(values, column.names) if column.unseen == "refuse" else values != ""
        return np.asarray(blank | named)
    if isinstance(column, Number):
        low, high = column.limits
        missing = np.isnan(values) if column.missing != "refuse" else np.zeros(len(values), dtype=bool)
        return np.asarray(missing | ((values >= low) & (values <= high)))
    return np.ones(len(values), dtype=bool)


def _reordered(shares: Array, champion_classes: list[str], classes: list[str]) -> Array:
    """Return probabilities of the task's classes: 0 for one that is new, and without those that are gone."""
    reordered = np.zeros((len(shares), len(classes)), dtype=shares.dtype)
    for place, name in enumerate(classes):
        if name in champion_classes:
            reordered[:, place] = shares[:, champion_classes.index(name)]
    return reordered


def _normalised(shares: Array) -> Array:
    """Return probabilities that sum to 1."""
    total = shares.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=np.full_like(shares, 1 / shares.shape[1]), where=total > 0))
