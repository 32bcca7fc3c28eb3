"""Searches and studies: the history of the trials, their settings as parallel coordinates, variants with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.figures import Figure, bars, largest_bars, lines
from tiltyard.files import Json
from tiltyard.report.drawings import Value, finite, interval_drawing
from tiltyard.report.html_elements import Cell, Section, render_figures, render_table
from tiltyard.workspace import Workspace

MAX_TRIALS = 200  # drawn and listed: the best
MAX_STUDIES, MAX_VARIANTS = 50, 60
MAX_AXES = 8
MAX_TEXT = 30


def search_sections(workspace: Workspace, tasks: Sequence[Task]) -> list[Section]:
    """Return a section for each task with a search."""
    found = []
    for task in tasks:
        result = _read(workspace.out(task.name, "search") / "search.json")
        if result.get("ranked") and result.get("metric") in task.evaluator.metrics:
            found.append(Section(f"Search: {task.name}", _search_html(task, result)))
    return found


def study_sections(workspace: Workspace) -> list[Section]:
    """Return a section for each study that was run."""
    paths = sorted(workspace.study("any").parent.glob("*/study.json"))[:MAX_STUDIES]
    return [Section(f"Study: {path.parent.name}", _study_html(result)) for path in paths if (result := _read(path))]


def _read(path: Any) -> Json:
    """Return the JSON object of a file; an empty one if it is not there or damaged."""
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _search_html(task: Task, result: Json) -> str:
    ranked = [trial for trial in result["ranked"] if finite([trial["value"]])][:MAX_TRIALS]
    counts = f"{len(result['trials']):,} trials, {result['pruned']:,} ended early, {result['impossible']:,} impossible."
    if not ranked:
        return f"<p>{counts}</p>"
    importance, _ = largest_bars({name: float(share) for name, share in (result.get("importance") or {}).items()})
    figures = [
        _trial_history(task, result),
        _parallel(task, ranked),
        *(
            [bars("Importance of the settings", "Share of the variance of the metric.", "Share", importance)]
            if importance
            else []
        ),
    ]
    rows = [
        {
            "trial": trial["trial"],
            task.metric.title: trial["value"],
            "validation loss": trial.get("val_loss"),
            "epochs": trial.get("epochs"),
            "seconds": trial.get("seconds"),
            **{name: _setting_text(value) for name, value in trial["values"].items()},
        }
        for trial in ranked
    ]
    table = f"<details><summary>The best {len(rows):,} trials</summary>{render_table(rows)}</details>"
    return f"<p>{counts}</p>{render_figures(figures)}{table}"


def _trial_history(task: Task, result: Json) -> Figure:
    """Plot the value of each trial, and the best so far."""
    trials = sorted(
        (trial for trial in result["trials"] if finite([trial["value"]])), key=lambda trial: int(trial["trial"])
    )[: 5 * MAX_TRIALS]
    best: list[float] = []
    for trial in trials:
        better = not best or task.metric.gain(trial["value"], best[-1]) > 0
        best.append(float(trial["value"]) if better else best[-1])
    numbers = [trial["trial"] for trial in trials]
    curves: dict[str, dict[str, Any]] = {
        "trial": {"x": numbers, "y": [trial["value"] for trial in trials], "dots": True, "unjoined": True},
        "best so far": {"x": numbers, "y": best},
    }
    return lines("Trials", f"{task.metric.title} on validation rows.", ("Trial", task.metric.title), curves)


def _parallel(task: Task, ranked: Sequence[Json]) -> Figure:
    """Plot each trial as a line through its settings and its value; the better it is, the stronger."""
    names = [*ranked[0]["values"]][:MAX_AXES]
    axes = [_positions([trial["values"].get(name) for trial in ranked]) for name in names]
    axes.append(_positions([trial["value"] for trial in ranked]))
    titles = [*names, task.gate.metric]
    drawn = [
        {
            "name": "",
            "x": [*range(len(titles))],
            "y": [round(axis[0][place], 4) for axis in axes],
            "strength": round(1 - 0.85 * place / max(len(ranked) - 1, 1), 3),
            "strong": place == 0,
            "text": _trial_text(task, trial),
        }
        for place, trial in enumerate(ranked)
    ]
    ticks = [{"x": place, "name": _short(title)} for place, title in enumerate(titles)]
    ends = "; ".join(f"{title} {axis[1]} to {axis[2]}" for title, axis in zip(titles, axes, strict=True))
    data = {"x": "", "y": "", "lines": [*reversed(drawn)], "ticks": ticks, "near": True, "wide": True}
    text = f"Each line is a trial, the best one strong. From below to above: {ends}."
    return Figure("Parallel coordinates", text, "lines", data)


def _positions(values: Sequence[Any]) -> tuple[list[float], str, str]:
    """Return where values lie on their axis, from 0 to 1, and its ends in words; logarithmic over wide ranges."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values):
        low, high = min(values), max(values)
        scaled = (
            [math.log(value) for value in values] if low > 0 and high / low > 50 else [float(value) for value in values]
        )
        first, last = min(scaled), max(scaled)
        return (
            [(value - first) / (last - first) if last > first else 0.5 for value in scaled],
            f"{low:.4g}",
            f"{high:.4g}",
        )
    texts = [_setting_text(value) for value in values]
    names = sorted({*texts})
    return [names.index(text) / max(len(names) - 1, 1) for text in texts], names[0], names[-1]


def _setting_text(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    return _short(text)


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _trial_text(task: Task, trial: Json) -> str:
    settings = "\n".join(f"{name}: {_setting_text(value)}" for name, value in trial["values"].items())
    return f"trial {trial['trial']}\n{task.gate.metric}: {trial['value']:.4g}\n{settings}"


def _study_html(result: Json) -> str:
    """Return the variants with mean and interval, and the sentence that compares each with the first."""
    variants = result.get("variants", [])[:MAX_VARIANTS]
    ends = finite([end for one in variants for end in (one.get("interval") or [one.get("mean")])])
    rows = [
        {
            "variant": one["name"],
            "mean": one.get("mean"),
            "drawn": Cell(
                interval_drawing([Value(one["name"], one.get("mean"), one.get("interval"), "good")], ends),
                str(one.get("mean")),
            ),
            "deviation": one.get("deviation"),
            "trainings": len(one.get("values", ())),
            "seconds": one.get("seconds"),
            "compared with the first": one.get("sentence", ""),
        }
        for one in variants
    ]
    head = f"<p>{escape(str(result.get('title', '')))}: {escape(str(result.get('metric', '')))} of the task "
    return f"{head}{escape(str(result.get('task', '')))} on validation rows.</p>{render_table(rows)}"
