"""Roll-out of a forecast: many steps ahead, each forecast fed back as an input of the next, against the naive one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.evaluators.forecasting import ahead
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.preparation.sealed_test import TestRows

MAX_STARTS = 2000  # rows at which a roll-out begins; of more, evenly spaced ones
MAX_PATHS = 6  # drawn roll-outs
VALUES = ("rmse", "baseline", "gain")  # of each step, each with an interval


def roll_out(predictor: Predictor, column: Series, windows: Array, steps: int) -> Array:
    """Return forecasts of so many steps for each window; forecasts are kept within what the column accepts."""
    (name,), windows = predictor.encoder.columns, windows.astype(np.float64)
    limits, forecasts, length = Number(bounds=column.bounds, log=column.log).limits, [], 0
    while length < steps:
        value = np.clip(ahead(predictor.outputs({name: windows})).astype(np.float64), *limits)
        forecasts.append(value)
        length += value.shape[1]
        windows = np.concatenate([windows, value], axis=1)[:, -column.window :]
    return np.concatenate(forecasts, axis=1)[:, :steps]


def evaluate_rollout(
    task: Task, predictor: Predictor, test: TestRows
) -> tuple[dict[str, Any], dict[str, dict[str, list[Any]]]]:
    """Roll out from the test rows that are followed by enough others.

    Return what the report says of each step, and the columns of two CSV files: errors by step, and some roll-outs.
    """
    steps, column = task.evaluate.rollout or 1, task.columns[task.target.column]
    assert isinstance(column, Series)  # noqa: S101 - for the type checker: the loader has refused other tasks
    series = _values(test.truth)
    starts = _starts(task, len(test.truth), len(series) - steps + 1)
    windows = test.rows[task.target.column][starts]
    actual = series[starts[:, None] + np.arange(steps)]
    forecast, naive = roll_out(predictor, column, windows, steps), column.naive(windows, steps)
    records = _by_step(task, starts, forecast - actual, naive - actual)
    facts = {"steps": steps, "starts": len(starts), "by_step": records}
    paths = _paths(starts, steps, {"actual": actual, "forecast": forecast, "baseline": naive})
    errors = {name: [record[name] for record in records] for name in records[0]}
    return facts, {"rollout": errors, "rollout_paths": paths}


def _values(truth: Array) -> Array:
    """Return the series over the test part, of which the truth of each row is a part."""
    rows = truth.reshape(len(truth), -1)
    return np.concatenate([rows[:, 0], rows[-1, 1:]]).astype(np.float64)


def _starts(task: Task, rows: int, usable: int) -> Array:
    """Return the rows that have enough values after them; raise DataError if there is none."""
    if usable < 1:
        raise DataError(
            f"evaluate.rollout: expected at most {rows + task.target.horizon - 1} steps, the values of the test part; "
            f"received {task.evaluate.rollout}",
            hint=f"lower it in tasks/{task.name}.yaml, then: tiltyard evaluate {task.name}",
        )
    usable = min(usable, rows)
    return np.arange(0, usable, math.ceil(usable / MAX_STARTS))


def _overlap(starts: Array, steps: int) -> int:
    """Return how many consecutive roll-outs share time steps."""
    return math.ceil(steps / int(starts[1] - starts[0])) if len(starts) > 1 else 1


def _by_step(task: Task, starts: Array, errors: Array, naive_errors: Array) -> list[dict[str, Any]]:
    """Return the error of each step, that of the naive forecast, and the gain over it, with intervals.

    Roll-outs that overlap in time are drawn together.
    """
    dependence = Dependence(np.arange(len(starts)), ordered=True, overlap=_overlap(starts, errors.shape[1]))
    bootstrap = Bootstrap(len(starts), task.split.seed, task.gate.confidence, dependence)
    squares = np.concatenate([errors**2, naive_errors**2], axis=1)

    def scores(places: Array) -> dict[str, float]:
        own, naive = np.split(np.sqrt(squares[places].mean(axis=0)), 2)
        values = np.stack([own, naive, naive - own], axis=1)
        return dict(enumerate(values.ravel().tolist()))  # type: ignore[arg-type]

    values, intervals = ([*one.values()] for one in (scores(np.arange(len(starts))), bootstrap.intervals(scores)))
    of_steps = [slice(place, place + len(VALUES)) for place in range(0, len(values), len(VALUES))]
    return [_record(step, values[part], intervals[part]) for step, part in enumerate(of_steps, 1)]


def _record(step: int, values: list[float], intervals: list[tuple[float, float]]) -> dict[str, Any]:
    """Return the values of one step; ends of intervals are None if roll-outs are too few for any."""
    record: dict[str, Any] = {"step": step}
    for name, value, (low, high) in zip(VALUES, values, intervals, strict=True):
        known = math.isfinite(low) and math.isfinite(high)
        least = -math.inf if name == "gain" else 0.0
        ends = (max(low, least), high) if known else (None, None)
        record |= {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
    return record


def _paths(starts: Array, steps: int, values: dict[str, Array]) -> dict[str, list[Any]]:
    """Return some roll-outs, evenly spaced, which do not overlap."""
    apart = np.arange(0, len(starts), _overlap(starts, steps))
    chosen = apart[np.unique(np.linspace(0, len(apart) - 1, min(MAX_PATHS, len(apart))).astype(int))]
    return {
        "row": np.repeat(starts[chosen], steps).tolist(),
        "step": np.tile(np.arange(1, steps + 1), len(chosen)).tolist(),
        **{name: array[chosen].ravel().tolist() for name, array in values.items()},
    }
