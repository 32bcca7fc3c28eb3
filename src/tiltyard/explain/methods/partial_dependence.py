"""Partial dependence: the mean prediction if one number column has the same value in all rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure, lines
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.problems.classification import probabilities

STEPS = 20  # values of a column, between its quantiles
MAX_COLUMNS = 12  # those on which the prediction depends most
MAX_CLASSES = 6  # curves of a plot: the first classes
PROBLEMS = ("classification", "regression")


class PartialDependence(ExplanationMethod):
    """Set each number column to values from its lowest to its highest, and average the predictions."""

    title: ClassVar = "partial dependence on each number column"

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require number columns, and one label or number."""
        task = model.task
        if task.problem not in PROBLEMS or task.target.columns:
            return f"it explains one label or one number; {task.name} predicts something else"
        return "" if task.is_tabular and _numbers(model) else f"{task.name} has no number columns"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield a plot for each column, that on which the prediction depends most first."""
        curves = {name: curve for name in _numbers(model) if (curve := _curve(model, name)) is not None}
        order = sorted(curves, key=lambda name: -float(np.ptp(curves[name][1], axis=0).max()))
        for name in order[:MAX_COLUMNS]:
            yield _figure(model, name, *curves[name])


def _numbers(model: ExplainedModel) -> dict[str, Number]:
    columns = model.data.encoder.columns
    return {name: column for name, column in columns.items() if isinstance(column, Number)}


def _curve(model: ExplainedModel, name: str) -> tuple[Array, Array] | None:
    """Return the values of a column, and the mean outputs for each; None if it has one value."""
    (features, truth), start = model.validation, model.data.encoder.spans[name].start
    column = _numbers(model)[name]
    encoded = features[:, start].astype(np.float64)
    values = np.unique(np.quantile(encoded, np.linspace(0.02, 0.98, STEPS)))
    if len(values) < 2:
        return None
    means = []
    for value in values:
        changed = features.copy()
        changed[:, start] = value
        if column.missing == "median":
            changed[:, start + 1] = 0  # the value is not missing
        means.append(model.predictor.condense(truth, changed).astype(np.float64).mean(axis=0))
    return values, np.array(means)


def _figure(model: ExplainedModel, name: str, values: Array, means: Array) -> Figure:
    column = _numbers(model)[name]
    shown = np.expm1(values) if column.log else values
    classes = model.task.classes
    axis = "Mean probability" if classes else f"Mean predicted {model.task.target.display_name}"
    if classes:
        shares = probabilities(means)
        places = [1] if len(classes) == 2 else range(min(len(classes), MAX_CLASSES))
        curves = {classes[place]: {"x": shown, "y": shares[:, place]} for place in places}
    else:
        curves = {"": {"x": shown, "y": means[:, 0]}}
    text = (
        "The mean prediction for validation rows that all have this value; other columns are as they are. "
        "If columns depend on each other, some of these rows cannot occur."
    )
    title = f"{name} ({column.unit})" if column.unit else name
    return lines(f"Partial dependence on {name}", text, (title, axis), curves)
