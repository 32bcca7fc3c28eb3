"""Distributions of the features: training rows, test rows, and what clients sent; and the drift of the latter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.gate_section import NUMBERS
from tiltyard.config.task import Task
from tiltyard.errors import TiltyardError
from tiltyard.figures import Figure, lines
from tiltyard.files import Json
from tiltyard.modeling.columns.base import Column
from tiltyard.registry.registry import Champion
from tiltyard.report.html_elements import Cell, Section, render_table
from tiltyard.workspace import Workspace

MAX_FEATURES = 24
BINS = 24
MAX_CATEGORIES = 15
MAX_LIVE = 5000  # latest recorded rows
OTHERS = "others"


def distribution_figures(task: Task, train: Mapping[str, Array], test: Rows, live: Rows) -> list[Figure]:
    """Return how the values of each number column are distributed, as shares of the rows of each part."""
    found = []
    for name, column in [*task.columns.items()]:
        if column.type not in NUMBERS or name not in train:
            continue
        parts = {"training": train[name], "test": test[name], **({"live": live[name]} if name in live else {})}
        if figure := _histogram(name, {part: _finite(values) for part, values in parts.items()}):
            found.append(figure)
    return found[:MAX_FEATURES]


def _finite(values: Array) -> Array:
    numbers = values.astype(np.float64)
    return numbers[np.isfinite(numbers)]


def _histogram(name: str, parts: Mapping[str, Array]) -> Figure | None:
    """Return the shares of rows in equal bins; the ends of the axis leave out what is far from the middle."""
    parts = {part: values for part, values in parts.items() if len(values)}
    if not parts:
        return None
    together = np.concatenate([*parts.values()])
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.quantile(together, [0.005, 0.995]).tolist()
    if not high > low:
        low, high = float(together.min()), float(together.max())
    if not high > low or not math.isfinite(high - low):
        return None
    edges = _edges(together, low, high)
    drawn = {}
    for part, values in parts.items():
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        drawn[f"{part} ({len(values):,})"] = {
            "x": np.repeat(edges, 2)[1:-1],
            "y": np.repeat(counts / len(values), 2),
            "filled": part == "training",
        }
    text = "Share of the rows of each part; values beyond the ends are counted in the last bins."
    return lines(f"Distribution of {name}", text, (name, "Share of rows"), drawn, zero=True)


def _edges(values: Array, low: float, high: float) -> Array:
    """Return the edges of the bins; each of a few whole numbers has one of its own."""
    if high - low < BINS and (values == np.rint(values)).all():
        return np.arange(np.floor(low), np.floor(high) + 2) - 0.5
    return np.linspace(low, high, BINS + 1)


def live_rows(workspace: Workspace, task: Task) -> Rows:
    """Return the latest rows that the service recorded; nothing if there are none, or they cannot be read."""
    folder = workspace.records / task.name / "answers"
    if not folder.is_dir() or any(column.type == "image" for column in task.columns.values()):
        return {}
    from tiltyard.monitoring.records import latest

    try:
        instances = latest(workspace, task, MAX_LIVE)
    except (TiltyardError, OSError):
        return {}
    if not instances or not all(isinstance(instance, dict) for instance in instances):
        return {}
    return {name: _numbers(column, [row.get(name) for row in instances]) for name, column in task.columns.items()}


def _numbers(column: Column, values: list[Any]) -> Array:
    """Return recorded values as numbers; others as missing."""
    usable = column.type in NUMBERS
    return np.array(
        [
            float(value) if usable and isinstance(value, int | float) and not isinstance(value, bool) else np.nan
            for value in values
        ]
    )


def drift_records(workspace: Workspace, task: Task, champion: Champion | None) -> tuple[list[Json], str]:
    """Return the drift of what clients sent by feature, or why there is none."""
    if champion is None:
        return [], "there is no champion"
    if not (workspace.records / task.name / "answers").is_dir():
        return [], "no predictions are recorded: tiltyard serve --record"
    from tiltyard.monitoring.drift import measure_drift

    try:
        measured = measure_drift(workspace, task, champion.version)
    except (TiltyardError, OSError) as error:
        return [], str(error)
    return measured["drift"], measured["undrifted"]


def drift_section(records: list[Json], reason: str) -> Section:
    """Return the drift of recorded inputs from the champion's training rows, by feature."""
    if not records:
        return Section("Drift", f'<p class="soft">Not measured: {escape(reason)}.</p>')
    rows = [
        {
            "feature": record["feature"],
            "population stability index": record["psi"],
            "limit": record["limit"],
            "chance": record["chance"],
            "state": Cell(
                f'<span class="{"bad" if record["drifted"] else "good"}">{"drifted" if record["drifted"] else "none"}'
                "</span>",
                "drifted" if record["drifted"] else "none",
            ),
        }
        for record in records
    ]
    note = "Recorded inputs beside the champion's training rows. Drifted: above the limit, and more than by chance."
    return Section("Drift", f'<p class="soft">{note}</p>{render_table(rows)}')
