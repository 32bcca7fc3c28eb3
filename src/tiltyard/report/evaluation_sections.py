"""Report sections about an evaluation: metrics, predictions, errors, training and provenance of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.figures import Figure, lines
from tiltyard.files import Json
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.report.html_elements import (
    Section,
    format_number,
    render_badge,
    render_facts,
    render_figures,
    render_table,
)

MAX_COLUMNS = 12  # columns of an instance that are shown
MAX_CHARACTERS = 400


def summary(task: Task, report: Json, verdict: str | None = None, reasons: Sequence[str] = ()) -> str:
    """Return the head of the page: the gate's metric, the baseline and the verdict on the version."""
    name = report["metric"]
    value, baseline = report["metrics"][name], report["baseline"][name]
    better = task.metric.gain(value, baseline) > 0
    style, comparison = ("good", "better than") if better else ("bad", "not better than")
    notes = "".join(f'<p class="bad">{escape(note)}</p>' for note in report.get("notes", ()))
    why = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    badge = f"<div>{render_badge(verdict)}<ul>{why}</ul></div>" if verdict else ""
    facts = {"task": task.name, "problem": task.problem, "version": report["version"], "data": report["data"][:12]}
    return (
        f"<h1>{escape(task.title)}</h1>{render_facts(facts)}"
        f'<div class="lead"><div><div class="soft">{escape(task.metric.title)} on {report["rows"]["test"]:,} sealed '
        f"test rows</div><strong>{format_number(value)}</strong> "
        f'<span class="soft">({task.gate.confidence:.0%} interval {_interval(report, name)})</span>'
        f'<div class="{style}">{comparison} the baseline&rsquo;s {format_number(baseline)}</div></div>{badge}</div>'
        f"{notes}"
    )


def sections(task: Task, report: Json, training: Json, predictions: Predictions, rows: Rows) -> list[Section]:
    """Return the sections of the page; `rows` are the sealed test rows."""
    test_rows = SealedRows(task, predictions, rows)
    return [
        Section("Metrics", _metric_table(task, report)),
        Section("Predictions", render_figures(task.evaluator.figures(predictions))),
        Section("By class", render_table(report.get("per_class", ()))),
        Section("By label", render_table(report.get("per_label", ()))),
        Section("By slice", render_table(report.get("slices", ()))),
        Section("By forecast step", render_table(report.get("by_step", ()))),
        Section(_worst_title(report), render_table([*map(test_rows.with_values, report["worst"])])),
        Section("Smallest errors", render_table([*map(test_rows.with_values, report.get("best", ()))])),
        Section(
            "Training",
            _diagnosis_html(training.get("diagnosis"))
            + render_figures(_curve_figures(training))
            + _training_text(training),
        ),
        Section("Cross-validation", _fold_table(task, report.get("folds"))),
        Section("Ensemble members", _ensemble_table(training)),
        Section("Network and references", _blend_table(training.get("blend"))),
        Section("Provenance", _provenance_table(report, training)),
    ]


class SealedRows:
    """The sealed test rows by row number, with values to display."""

    def __init__(self, task: Task, predictions: Predictions, rows: Rows) -> None:
        self.task, self.rows = task, rows
        self.positions = {row: position for position, row in enumerate(predictions.number.tolist())}

    def with_values(self, record: Mapping[str, Any]) -> Json:
        """Return the record of a prediction with the values of its row."""
        position = self.positions.get(record["row"])
        return {**record, **({} if position is None else self.instance(position))}

    def instance(self, position: int) -> Json:
        """Return the values of a row: images as PNG, series as lists, long texts cut off."""
        names = [*self.task.columns][:MAX_COLUMNS]
        return {name: self._value(name, self.rows[name][position : position + 1]) for name in names}

    def _value(self, name: str, values: Array) -> Any:
        from tiltyard.figures import png

        column = self.task.columns[name]
        if column.type == "image":
            return png(values[0])
        if column.type == "series":
            series: list[float] = values[0].astype(np.float64).ravel().tolist()
            return series
        value = column.to_json(values)[0]
        text = value["text"] if isinstance(value, dict) and "text" in value else value
        return f"{text[:MAX_CHARACTERS]}..." if isinstance(text, str) and len(text) > MAX_CHARACTERS else text


def _metric_table(task: Task, report: Json) -> str:
    """Return a table of all metrics with intervals, the baseline and the values on training rows."""
    rows = []
    for name, value in report["metrics"].items():
        direction = "higher" if task.evaluator.metrics[name].higher_is_better else "lower"
        mark = " (gate metric)" if name == task.gate.metric else ""
        rows.append(
            {
                "metric": f"{task.evaluator.metrics[name].title}, {direction} is better{mark}",
                "value": value,
                "interval": _interval(report, name),
                "baseline": report["baseline"][name],
                "training rows": report["train"][name],
            }
        )
    drawn = _drawn(report.get("dependence"))
    note = f"Intervals: {task.gate.confidence:.0%} bootstrap of {drawn}. Baseline: {task.evaluator.baseline_title}."
    return render_table(rows) + f'<p class="soft">{escape(note)}</p>'


def _interval(report: Json, name: str) -> str:
    """Return an interval in words."""
    if (ends := report["intervals"][name]) is None:
        return "unknown: too few independent test rows"
    low, high = ends
    return f"{format_number(low)} to {format_number(high)}"


def _drawn(dependence: Json | None) -> str:
    """Return what the bootstrap draws: rows, blocks of time steps, or groups."""
    return "the test rows" if dependence is None else f"{dependence['drawn']}, {dependence['units']:,} in all"


def _worst_title(report: Json) -> str:
    return "Wrong predictions, most confident first" if "per_class" in report else "Largest errors"


def _curve_figures(training: Json) -> list[Figure]:
    """Plot loss and metrics by epoch, and the gradients of layers if they were recorded."""
    history, best = training.get("history", {}), training["best_epoch"]
    epochs = [*range(1, len(history.get("loss", ())) + 1)]
    if not epochs:
        return []
    snapshots = training.get("diagnosis", {}).get("snapshots")
    metric_names = sorted({name.removeprefix("val_") for name in history} - {"loss"})
    return [
        *(_epoch_figure(name, history, epochs, best) for name in ["loss", *metric_names] if f"val_{name}" in history),
        *([_gradient_figure(snapshots)] if snapshots else []),
    ]


def _epoch_figure(name: str, history: Json, epochs: list[int], best: int) -> Figure:
    curves = {"training": history[name], "validation": history[f"val_{name}"]}
    positive = name == "loss" and min(value for values in curves.values() for value in values) > 0
    title = name.replace("_", " ").capitalize()
    return lines(
        title,
        "By epoch, on training and validation rows. The weights of the marked epoch were kept.",
        ("Epoch", title),
        {label: {"x": epochs, "y": values} for label, values in curves.items()},
        marks=[{"x": best, "name": f"kept: {best}"}],
        log=positive,
    )


def _gradient_figure(snapshots: Sequence[Json]) -> Figure:
    """Plot the gradient of each layer by epoch."""
    epochs, names = [snapshot["epoch"] for snapshot in snapshots], [*snapshots[0]["gradients"]]
    return lines(
        "Gradients",
        "Root mean square by layer, first layer first. Large differences between layers are a warning sign.",
        ("Epoch", "Gradient"),
        {name: {"x": epochs, "y": [snapshot["gradients"][name] or None for snapshot in snapshots]} for name in names},
        log=True,
    )


def _training_text(training: Json) -> str:
    end = "stopped early" if training.get("stopped_early") else "ran to the end"
    text = f"{training['epochs']} epochs, {end}; epoch {training['best_epoch']} was kept."
    if warm := training.get("warm_start"):
        text += f" Epoch {warm['epoch']} started with a new optimizer and the weights of epoch {warm['from_epoch']}."
    return f'<p class="soft">{escape(text)}</p>'


def _diagnosis_html(diagnosis: Json | None) -> str:
    """Return the diagnosis of the fit with its reason, then problems of the network."""
    if not diagnosis:
        return ""
    style = "good" if diagnosis["verdict"] == "good fit" else "bad"
    lines = [
        f'<strong class="{style}">{escape(diagnosis["verdict"].capitalize())}</strong>: {escape(diagnosis["reason"])}.'
    ]
    lines += [escape(f"{text[0].upper()}{text[1:]}.") for text in diagnosis["findings"]]
    return "".join(f"<p>{line}</p>" for line in lines)


def _fold_table(task: Task, folds: Json | None) -> str:
    """Return a table of the metrics of cross-validation."""
    if not folds:
        return ""
    rows = [
        {"metric": task.evaluator.metrics[name].title, "mean": fold["mean"], "deviation": fold["deviation"]}
        for name, fold in folds.items()
    ]
    count = len(next(iter(folds.values()))["values"])
    note = (
        f"{count} folds of the training and validation rows; each is evaluated by a model that was not trained on it."
    )
    return render_table(rows) + f'<p class="soft">{note}</p>'


def _ensemble_table(training: Json) -> str:
    """Return a table of the members of an ensemble, and the correlation of their errors."""
    if not (members := training.get("members")):
        return ""
    mean = training["correlation"]["mean"]
    note = f"Mean correlation of their errors on validation rows: {format_number(mean)}; lower is better."
    return (
        render_table([{"member": number, **member} for number, member in enumerate(members, 1)])
        + f'<p class="soft">{note}</p>'
    )


def _blend_table(blend: Json | None) -> str:
    """Return a table of the parts of a model that averages a network with references."""
    if not blend:
        return ""
    note = (
        f"The model is the weighted mean of their outputs, and has a loss of {format_number(blend['loss'])} on "
        f"{blend['validation_rows']:,} validation rows. The curves and the diagnosis are those of the network."
    )
    return render_table(blend["parts"]) + f'<p class="soft">{escape(note)}</p>'


def _provenance_table(report: Json, training: Json) -> str:
    facts = {
        "version": report["version"],
        "data (SHA-256)": report["data"],
        "test rows (SHA-256)": report["test"],
        "rows": ", ".join(f"{count} {part}" for part, count in report["rows"].items()),
        "parameters": f"{training['parameters']:,}",
        "seed": str(training["seed"]),
    }
    return render_table([{"what": name, "value": value} for name, value in facts.items()])
