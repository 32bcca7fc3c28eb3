"""Plots of a model over its whole input: the fitted line of one number, or the decision regions of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import Evaluated
from tiltyard.figures import Figure, points, regions
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import labels, probabilities

STEPS = 60  # of each axis of the regions
LINE_STEPS = 200  # of a fitted line
MARGIN = 0.05  # beyond the outermost test rows, as a share of their range
BOOLEAN_ENDS = (-0.25, 1.25)  # around the values that exist, 0 and 1
Axes = dict[str, tuple[float, float]]  # column -> ends of its axis


@dataclass(frozen=True)
class InputSpace:
    """A model over the one or two columns that it reads, and the sealed test rows."""

    task: Task
    predictor: Predictor
    predictions: Predictions
    rows: Rows
    axes: Axes

    def line(self) -> Figure:
        """Return test rows with the predicted number for each value of the column."""
        ((name, (low, high)),) = self.axes.items()
        at, target = np.linspace(low, high, LINE_STEPS), self.predictions.target
        return points(
            "Fitted line",
            f"The line is the prediction of {target} for each value of {name}. Points are test rows.",
            (name, target),
            {"": (self.rows[name], self.predictions.truth.astype(np.float64))},
            curve={"x": at, "y": self.predictor.outputs({name: at})[:, 0].astype(np.float64)},
        )

    def surface(self) -> Figure:
        """Return test rows above a plane that is shaded by the predicted number."""
        values = self._outputs[:, 0].astype(np.float64)
        low, high = float(values.min()), float(values.max())
        share = (values - low) / (high - low) if high > low else np.zeros(len(values))
        text = (
            f"The stronger the colour, the higher the predicted {self.task.target.column}: from {low:.4g} to "
            f"{high:.4g}. Points are test rows."
        )
        scatter = points("Predicted surface", text, self._names, {"": self._coordinates(slice(None))})
        return regions(scatter, self._grid, np.zeros((STEPS, STEPS), dtype=np.int64), share.reshape(STEPS, STEPS))

    def decision_regions(self) -> Figure:
        """Return test rows, coloured by label, above a plane that is coloured by the predicted label."""
        shares = probabilities(self._outputs)
        predicted = labels(self._outputs, self.predictions.threshold)
        chance = 1 / shares.shape[1]
        strength = np.clip((shares[np.arange(len(shares)), predicted] - chance) / (1 - chance), 0, 1)
        truth = self.predictions.truth.astype(np.int64)
        flags = all(isinstance(column, Boolean) for column in self.task.columns.values())
        text = (
            "The background has the colour of the predicted label, the stronger the more probable it is. Points are "
            f"test rows, in the colour of their actual label.{' Only the corners can occur.' if flags else ''}"
        )
        groups = {name: self._coordinates(truth == place) for place, name in enumerate(self.task.classes)}
        scatter = points("Decision regions", text, self._names, groups)
        return regions(scatter, self._grid, predicted.reshape(STEPS, STEPS), strength.reshape(STEPS, STEPS))

    @property
    def _names(self) -> tuple[str, str]:
        first, second = self.axes
        return first, second

    def _coordinates(self, chosen: Array | slice) -> tuple[Array, Array]:
        first, second = (self.rows[name][chosen] for name in self._names)
        return first, second

    @property
    def _grid(self) -> tuple[Array, Array]:
        """Both axes."""
        across, up = (np.linspace(low, high, STEPS) for low, high in self.axes.values())
        return across, up

    @cached_property
    def _outputs(self) -> Array:
        """Outputs for all combinations of both axes, the second value changing slowly."""
        first, second = np.meshgrid(*self._grid)
        return self.predictor.outputs(dict(zip(self._names, (first.ravel(), second.ravel()), strict=True)))


PLOTS: dict[tuple[str, int], Callable[[InputSpace], Figure]] = {  # by problem and number of columns
    ("regression", 1): InputSpace.line,
    ("regression", 2): InputSpace.surface,
    ("classification", 2): InputSpace.decision_regions,
}


def input_space_figures(task: Task, evaluated: Evaluated, predictions: Predictions) -> list[Figure]:
    """Return a plot of the model over its input; none unless that is one or two numbers of a table."""
    rows = evaluated.test.rows
    axes = _axes(task, rows)
    plot = None if task.target.columns else PLOTS.get((task.problem, len(axes)))
    return [plot(InputSpace(task, evaluated.predictor, predictions, rows, axes))] if plot else []


def _axes(task: Task, rows: Rows) -> Axes:
    """Return the ends of the axis of each column; none if they are not all numbers or flags that differ."""
    if task.modality != "table" or len(task.columns) > 2:
        return {}
    ends = {name: _ends(column, rows[name]) for name, column in task.columns.items()}
    return {name: both for name, both in ends.items() if both} if all(ends.values()) else {}


def _ends(column: Column, values: Array) -> tuple[float, float] | None:
    if isinstance(column, Boolean):
        return BOOLEAN_ENDS
    if not isinstance(column, Number) or not np.isfinite(values).any():
        return None
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = MARGIN * (high - low)
    low, high = max(low - margin, column.limits[0]), min(high + margin, column.limits[1])
    return (low, high) if low < high else None
