"""Plots of a forecast series: the whole series with the split and the forecasts, walk-forward, and roll-outs."""

from __future__ import annotations

import csv
import itertools
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.figures import Figure, lines
from tiltyard.files import Json
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.evaluators.forecasting import ahead
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.preparation.array_file import open_part
from tiltyard.report.html_elements import Section, format_number, render_figures, render_table

MAX_PARTS = 600  # stretches of a long series, of each of which the least and the largest value are drawn
LAST = 100  # time steps of the shortest range that is offered
RIVALS = {"over_baseline": "the baseline", "over_model": "the model that was trained once"}


def series_figures(task: Task, prepared: Path, predictions: Predictions) -> list[Figure]:
    """Return the whole series with the split; none for several series in one table, whose rows alternate."""
    column = task.columns.get(task.target.column)
    if task.problem != "forecasting" or not isinstance(column, Series) or column.group:
        return []
    known, starts = _values_before(task, column, prepared)
    actual = _consecutive(predictions.truth)
    first, forecast = len(known), ahead(predictions.outputs)[:, 0]
    values = np.concatenate([known, actual])
    steps, test_steps = np.arange(len(values)), first + np.arange(len(forecast))
    curves = {
        "actual": _thinned(steps, values),
        "forecast, one step ahead": _thinned(test_steps, forecast.astype(np.float64)),
    }
    marks = [{"x": starts[0], "name": "validation"}, {"x": first, "name": "test"}]
    text = f"{len(values):,} time steps: training, validation and test part, the latter with the forecasts."
    if len(values) > 2 * MAX_PARTS:
        text += " Of each stretch of a long series the least and the largest value are drawn."
    return [
        lines("Series", text, ("Time step", predictions.target), curves, marks=marks, ranges=_ranges(first, values))
    ]


def _values_before(task: Task, column: Series, prepared: Path) -> tuple[Array, list[int]]:
    """Return the values before the first test row's truth, and where those of the validation part begin.

    The split leaves out rows at its borders; their values are in the window of the row after the border.
    """
    encoder = Encoder.load(prepared / "encoder.json")
    place, parts = [*encoder.columns].index(task.target.column), []
    for name in ("train", "validation"):
        features, truth = open_part(prepared / f"{name}.npz")
        parts += [_window(column, features[:1][0, :, place]), _consecutive(truth)]
    with np.load(prepared / "test.npz", allow_pickle=False) as arrays:
        parts.append(arrays[f"column:{task.target.column}"][0].astype(np.float64))
    start = len(parts[0]) + len(parts[1])
    return np.concatenate(parts), [start + len(parts[2])]


def _window(column: Series, features: Array) -> Array:
    values = features.astype(np.float64)
    return np.expm1(values) if column.log else values


def _consecutive(truth: Array) -> Array:
    """Return the values that follow one another, of which the truth of each row is a part."""
    rows = truth.reshape(len(truth), -1)
    return np.concatenate([rows[:, 0], rows[-1, 1:]]).astype(np.float64)


def _thinned(x: Array, y: Array) -> dict[str, Any]:
    """Return the extremes of each stretch of a long curve, which an even sample would miss, and all of its end."""
    if len(y) <= 2 * MAX_PARTS:
        return {"x": x, "y": y}
    edges = np.linspace(0, len(y), MAX_PARTS + 1).astype(int)
    kept = {0, *range(len(y) - LAST - 1, len(y))}
    for start, end in itertools.pairwise(edges.tolist()):
        kept |= {start + int(np.argmin(y[start:end])), start + int(np.argmax(y[start:end]))}
    places = np.array(sorted(kept))
    return {"x": x[places], "y": y[places]}


def _ranges(first: int, values: Array) -> list[Json]:
    """Return the ranges that a reader may choose: all, the test part, and its end."""
    last = len(values) - 1
    before = max(0, first - max(len(values) - first, 1) // 4)
    ranges = [{"name": "whole series", "from": 0, "to": last}, {"name": "test part", "from": before, "to": last}]
    short = {"name": f"last {LAST} steps", "from": last - LAST, "to": last}
    return [*ranges, short] if len(values) - first > 2 * LAST else ranges


def walk_forward_section(task: Task, report: Json, evaluated: Path) -> Section:
    """Return the metrics of walk-forward evaluation and each step's forecast; empty if the task asks for none."""
    facts, path = report.get("walk_forward"), evaluated / "plots" / "walk_forward.csv"
    if not facts:
        return Section("Walk-forward", "")
    columns = _columns(path) if path.is_file() else {}
    return Section(
        "Walk-forward", _walk_text(task, facts) + _walk_table(task, report) + render_figures(_walked(task, columns))
    )


def _walk_text(task: Task, facts: Json) -> str:
    """Return what was done, and whether it is better than the baseline and than a single training."""
    rows = "each test row" if facts["every"] == 1 else f"every {facts['every']} test rows"
    first, last = facts["known"]
    text = (
        f"Walk-forward evaluation: before {rows} the network was trained again on all rows known by then, "
        f"{facts['trainings']:,} times, on {first:,} to {last:,} rows. Each training ran {facts['epochs']:,} epochs, "
        "the number that the first training chose by validation rows; nothing was chosen by test rows. The gate "
        "judges the model that is served, which was trained once."
    )
    gains = "".join(f"<p>{escape(_gain(task, facts.get(name), rival))}</p>" for name, rival in RIVALS.items())
    return f'<p class="soft">{escape(text)}</p>{gains}'


def _gain(task: Task, gain: Json | None, rival: str) -> str:
    if not gain:
        return f"Compared with {rival}: too few independent test rows for an interval."
    word = (
        "better than" if gain["low"] > 0 else "worse than" if gain["high"] < 0 else "not significantly different from"
    )
    ends = f"{format_number(gain['low'])} to {format_number(gain['high'])}"
    size = f"{format_number(gain['value'])} ({task.gate.confidence:.0%} interval {ends})"
    return f"{task.metric.title}: {word} {rival}; the gain is {size}."


def _walk_table(task: Task, report: Json) -> str:
    """Return the metrics of walking forward beside those of the served model and the baseline."""
    walk = report["walk_forward"]
    rows = []
    for name, value in walk["metrics"].items():
        ends = walk["intervals"][name]
        rows.append(
            {
                "metric": task.evaluator.metrics[name].title,
                "walk-forward": value,
                "interval": f"{format_number(ends[0])} to {format_number(ends[1])}" if ends else "unknown",
                "trained once": report["metrics"][name],
                "baseline": report["baseline"][name],
            }
        )
    return render_table(rows)


def _walked(task: Task, columns: dict[str, list[float]]) -> list[Figure]:
    if not columns:
        return []
    x = np.array(columns["row"])
    curves = {
        "actual": _thinned(x, np.array(columns["actual"])),
        "walk-forward": _thinned(x, np.array(columns["forecast"])),
        "trained once": _thinned(x, np.array(columns["model"])),
        "baseline": {**_thinned(x, np.array(columns["baseline"])), "dashed": True},
    }
    text = "The forecast of each test row, by the network that was trained on all rows before it."
    return [lines("Forecast of each step", text, ("Row", task.target.display_name), curves, wide=True)]


def rollout_section(task: Task, report: Json, evaluated: Path) -> Section:
    """Return the errors of roll-outs by step, and some of them; empty if the task asks for none."""
    facts, path = report.get("rollout"), evaluated / "plots" / "rollout_paths.csv"
    if not facts:
        return Section("Roll-out", "")
    figures = [_errors_by_step(task, facts["by_step"]), _gain_by_step(task, facts["by_step"])]
    paths = [_paths(task, _columns(path))] if path.is_file() else []
    return Section("Roll-out", _rollout_text(task, facts) + render_figures([*figures, *paths]))


def _rollout_text(task: Task, facts: Json) -> str:
    better = [record["step"] for record in facts["by_step"] if (record["gain_low"] or 0) > 0]
    worse = [
        record["step"] for record in facts["by_step"] if record["gain_high"] is not None and record["gain_high"] < 0
    ]
    text = (
        f"{facts['steps']} steps ahead from {facts['starts']:,} test rows: each forecast is an input of the next. "
        f"Significantly better than the naive forecast at {len(better)} steps, worse at {len(worse)} ("
        f"{task.gate.confidence:.0%} intervals of single steps; with so many, some are significant by chance)."
    )
    return f'<p class="soft">{escape(text)}</p>'


def _errors_by_step(task: Task, records: list[Json]) -> Figure:
    steps = [record["step"] for record in records]
    return lines(
        "Error of a roll-out",
        f"By step. The band is the {task.gate.confidence:.0%} interval of the model's error.",
        ("Steps ahead", "Root mean squared error"),
        {
            "forecast": {"x": steps, "y": [record["rmse"] for record in records]},
            "naive forecast": {"x": steps, "y": [record["baseline"] for record in records], "dashed": True},
        },
        band=_band(records, "rmse"),
        zero=True,
    )


def _gain_by_step(task: Task, records: list[Json]) -> Figure:
    steps = [record["step"] for record in records]
    return lines(
        "Gain over the naive forecast",
        f"Difference of the errors, with its {task.gate.confidence:.0%} interval: above zero the model is better.",
        ("Steps ahead", "Gain in RMSE"),
        {
            "gain": {"x": steps, "y": [record["gain"] for record in records]},
            "no difference": {"x": [steps[0], steps[-1]], "y": [0, 0], "dashed": True},
        },
        band=_band(records, "gain"),
    )


def _band(records: list[Json], name: str) -> Json:
    """Return the interval of each step; empty if roll-outs are too few for one."""
    if any(record[f"{name}_low"] is None for record in records):
        return {}
    ends = {end: [record[f"{name}_{end}"] for record in records] for end in ("low", "high")}
    return {"x": [record["step"] for record in records], **ends}


def _paths(task: Task, columns: dict[str, list[float]]) -> Figure:
    """Return some roll-outs along the series; gaps separate them."""
    rows, steps = columns["row"], columns["step"]
    x: list[float | None] = []
    curves: dict[str, list[float | None]] = {name: [] for name in ("actual", "forecast", "baseline")}
    for place, (row, step) in enumerate(zip(rows, steps, strict=True)):
        if place and row != rows[place - 1]:
            x.append(row)
            for values in curves.values():
                values.append(None)
        x.append(row + step - 1)
        for name, values in curves.items():
            values.append(columns[name][place])
    return lines(
        "Some roll-outs",
        f"{len({*rows})} of them, evenly spaced: what followed, the forecasts, and the naive forecasts.",
        ("Test row", task.target.display_name),
        {
            name: {"x": x, "y": values, **({"dashed": True} if name == "baseline" else {})}
            for name, values in curves.items()
        },
        wide=True,
    )


def _columns(path: Path) -> dict[str, list[float]]:
    """Read a CSV file that the evaluation wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return {name: [float(row[place]) for row in rows] for place, name in enumerate(names)}
