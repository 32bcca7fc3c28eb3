"""Where a model errs: its errors by the values of each feature, and by slice, with intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.gate_section import NUMBERS
from tiltyard.config.task import Task
from tiltyard.evaluation.slices import parts
from tiltyard.figures import bars
from tiltyard.files import Json
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import labels
from tiltyard.report.drawings import Value, interval_drawing
from tiltyard.report.html_elements import Cell, Section, format_number, render_figures
from tiltyard.report.sections.decisions import wilson

MAX_FEATURES = 8  # those whose groups differ most
MIN_ROWS = 5  # of a group of rows
GROUPS = 5  # of the values of a number
MAX_CATEGORIES = 12
RESAMPLES, MAX_DRAWN = 200, 2000  # of the rows of a slice
MAX_SLICES = 100


def features_section(task: Task, predictions: Predictions, rows: Rows) -> Section:
    """Return the error by the values of each feature, of those where it differs most; empty without single values."""
    errors = _errors(task, predictions)
    if errors is None or not task.is_tabular:
        return Section("By feature", "")
    measured = [(name, _measured(_groups(column, rows[name]), errors, task)) for name, column in task.columns.items()]
    usable = [(name, groups) for name, groups in measured if len(groups) > 1]
    usable.sort(key=lambda pair: -_spread(pair[1]))
    axis = "Share of wrong predictions" if task.classes else "Mean absolute error"
    text = f"{axis} on the test rows, with {task.gate.confidence:.0%} intervals and the number of rows."
    if len(usable) > MAX_FEATURES:
        text += f" The {MAX_FEATURES} of {len(usable)} features whose groups differ most."
    figures = [bars(f"Errors by {name}", "", axis, groups) for name, groups in usable[:MAX_FEATURES]]
    return Section("By feature", f'<p class="soft">{text}</p>{render_figures(figures)}' if figures else "")


def _errors(task: Task, predictions: Predictions) -> Array | None:
    """Return the error of each row: wrong or right, or the absolute error; None for other problems."""
    outputs, truth = predictions.outputs, predictions.truth
    if outputs.dtype.names or not np.isfinite(np.asarray(outputs, dtype=np.float64)).all():  # texts have fields
        return None
    if task.classes:
        return np.asarray(labels(outputs, predictions.threshold) != truth.astype(np.int64), dtype=np.float64)
    if task.problem == "regression" and truth.ndim == 1 and outputs.shape[1] == 1:
        return np.asarray(np.abs(outputs[:, 0].astype(np.float64) - truth.astype(np.float64)))
    return None


def _groups(column: Column, values: Array) -> Iterator[tuple[str, Array]]:
    """Yield the rows of each group: the fifths of a number, or its single values; categories and flags."""
    if column.type in NUMBERS:
        numbers = values.astype(np.float64)
        finite = numbers[np.isfinite(numbers)]
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, GROUPS + 1))).tolist() if len(finite) else []
        for low, high in itertools.pairwise(edges):
            last = high == edges[-1]
            inside = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
            yield f"{format_number(low)} to {format_number(high)}", np.flatnonzero(inside)
    elif column.type in ("category", "boolean"):
        names = np.array([*map(str, column.to_json(values))])
        found, counts = np.unique(names, return_counts=True)
        for name in found[np.argsort(-counts, kind="stable")][:MAX_CATEGORIES]:
            yield str(name), np.flatnonzero(names == name)


def _measured(groups: Iterator[tuple[str, Array]], errors: Array, task: Task) -> dict[str, tuple[float, float, float]]:
    """Return the mean error of each group that is large enough, with its interval."""
    confidence = task.gate.confidence
    return {
        f"{name} ({len(places):,})": _mean(errors[places], confidence, shares=bool(task.classes))
        for name, places in groups
        if len(places) >= MIN_ROWS
    }


def _mean(errors: Array, confidence: float, *, shares: bool) -> tuple[float, float, float]:
    mean = float(errors.mean())
    if shares:
        return (mean, *wilson(mean, len(errors), confidence))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(errors.std(ddof=1)) / math.sqrt(len(errors))
    return mean, max(mean - half, 0.0), mean + half


def _spread(groups: dict[str, tuple[float, float, float]]) -> float:
    """Return how much groups differ, by the widths of their intervals."""
    means, widths = zip(*((mean, high - low) for mean, low, high in groups.values()), strict=True)
    return float(max(means) - min(means)) / (float(np.mean(widths)) or 1.0)


def slice_records(task: Task, report: Json, predictions: Predictions, rows: Rows, context: Context) -> list[Json]:
    """Return the metric of each slice, with the interval over its rows if they are independent."""
    records: list[Json] = report.get("slices", [])[:MAX_SLICES]
    if not records or report.get("dependence"):
        return records
    places = {part.name: part.indices for part in parts(task.gate.slices, task.columns, rows)}
    ends = [_interval(task, predictions, places.get(record["slice"]), context) for record in records]
    drawn = [Value(record["slice"], record["value"], end, "good") for record, end in zip(records, ends, strict=True)]
    low, high = (
        min((value.ends or (math.inf,))[0] for value in drawn),
        max((value.ends or (-math.inf, -math.inf))[1] for value in drawn),
    )
    return [
        {
            **record,
            "from": None if end is None else end[0],
            "to": None if end is None else end[1],
            "drawn": Cell(interval_drawing([value], (low, high)), str(record["value"])),
        }
        for record, end, value in zip(records, ends, drawn, strict=True)
    ]


def _interval(task: Task, predictions: Predictions, places: Array | None, context: Context) -> list[float] | None:
    """Return the percentile interval of the gate's metric over the rows of a slice."""
    if places is None or len(places) < MIN_ROWS or len(places) > MAX_DRAWN:
        return None
    generator, values = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        drawn = places[generator.integers(len(places), size=len(places))]
        with np.errstate(all="ignore"):
            values.append(task.metric.score(predictions.truth[drawn], predictions.outputs[drawn], context))
    finite = [value for value in values if math.isfinite(value)]
    if len(finite) < RESAMPLES:
        return None
    tail = (1 - task.gate.confidence) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return [float(low), float(high)]
