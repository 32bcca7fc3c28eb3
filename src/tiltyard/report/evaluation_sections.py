"""What a page tells of an evaluation: how good a model is, what it misses, and how it came to be."""

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
from tiltyard.report.page import Section, badge, facts, number, shown, table

COLUMNS = 12  # of an instance that is shown as a row
LONGEST = 400  # characters of a text


def head(task: Task, report: Json, verdict: str | None = None, reasons: Sequence[str] = ()) -> str:
    """Return the summary: the gate's metric beside the baseline, and the verdict about the version."""
    name = report["metric"]
    value, baseline, (low, high) = report["metrics"][name], report["baseline"][name], report["intervals"][name]
    better = task.metric.gain(value, baseline) > 0
    words = ("good", "better than") if better else ("bad", "not better than")
    notes = "".join(f'<p class="bad">{escape(note)}</p>' for note in report.get("notes", ()))
    why = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    word = f"<div>{badge(verdict)}<ul>{why}</ul></div>" if verdict else ""
    told = {"task": task.name, "problem": task.problem, "version": report["version"], "data": report["data"][:12]}
    return (
        f"<h1>{escape(task.title)}</h1>{facts(told)}"
        f'<div class="lead"><div><div class="soft">{escape(task.metric.title)} on {report["rows"]["test"]:,} sealed '
        f"test rows</div><strong>{number(value)}</strong> "
        f'<span class="soft">({task.gate.confidence:.0%} interval {number(low)} to {number(high)})</span>'
        f'<div class="{words[0]}">{words[1]} the baseline&rsquo;s {number(baseline)}</div></div>{word}</div>{notes}'
    )


def sections(task: Task, report: Json, training: Json, predictions: Predictions, rows: Rows) -> list[Section]:
    """Return the parts of the page, the most looked for first; `rows` are the sealed ones."""
    seen = Seen(task, predictions, rows)
    return [
        Section("Figures", _metrics(task, report)),
        Section("Predictions", shown(task.evaluator.figures(predictions))),
        Section("By class", table(report.get("per_class", ()))),
        Section("By slice", table(report.get("slices", ()))),
        Section("By step ahead", table(report.get("by_step", ()))),
        Section(_worst_title(report), table([*map(seen.shown, report["worst"])])),
        Section("Smallest errors", table([*map(seen.shown, report.get("best", ()))])),
        Section("Learning", _diagnosis(training.get("diagnosis")) + shown(_curves(training)) + _learning(training)),
        Section("Cross-validation", _folds(report.get("folds"))),
        Section("Members", _members(training)),
        Section("Provenance", _provenance(report, training)),
    ]


class Seen:
    """The sealed rows by their numbers, as people look at them."""

    def __init__(self, task: Task, predictions: Predictions, rows: Rows) -> None:
        self.task, self.rows = task, rows
        self.places = {number: place for place, number in enumerate(predictions.number.tolist())}

    def shown(self, record: Mapping[str, Any]) -> Json:
        """Put what was asked beside what was answered."""
        place = self.places.get(record["row"])
        return {**record, **({} if place is None else self.instance(place))}

    def instance(self, place: int) -> Json:
        """Return the values of a row: pictures and courses to be drawn, long texts cut."""
        names = [*self.task.columns][:COLUMNS]
        return {name: self._value(name, self.rows[name][place : place + 1]) for name in names}

    def _value(self, name: str, values: Array) -> Any:
        from tiltyard.figures import png

        column = self.task.columns[name]
        if column.type == "image":
            return png(values[0])
        if column.type == "series":
            course: list[float] = values[0].astype(np.float64).ravel().tolist()
            return course
        value = column.to_json(values)[0]
        text = value["text"] if isinstance(value, dict) and "text" in value else value
        return f"{text[:LONGEST]}..." if isinstance(text, str) and len(text) > LONGEST else text


def _metrics(task: Task, report: Json) -> str:
    """Draw up every metric beside its interval, the baseline and the training rows."""
    rows = []
    for name, value in report["metrics"].items():
        low, high = report["intervals"][name]
        direction = "higher" if task.evaluator.metrics[name].higher_is_better else "lower"
        mark = " (decides)" if name == task.gate.metric else ""
        rows.append(
            {
                "metric": f"{task.evaluator.metrics[name].title}, {direction} is better{mark}",
                "model": value,
                "interval": f"{number(low)} to {number(high)}",
                "baseline": report["baseline"][name],
                "training rows": report["train"][name],
            }
        )
    note = (
        f"Intervals: {task.gate.confidence:.0%} bootstrap of the test rows. Baseline: {task.evaluator.baseline_title}."
    )
    return table(rows) + f'<p class="soft">{escape(note)}</p>'


def _worst_title(report: Json) -> str:
    return "Wrong answers, the surest first" if "per_class" in report else "Largest errors"


def _curves(training: Json) -> list[Figure]:
    """Show loss and other figures by epoch, and the gradients of layers where they were looked at."""
    history, best = training.get("history", {}), training["best_epoch"]
    epochs = [*range(1, len(history.get("loss", ())) + 1)]
    if not epochs:
        return []
    looks = training.get("diagnosis", {}).get("looks")
    rest = sorted({name.removeprefix("val_") for name in history} - {"loss"})
    return [
        *(_by_epoch(name, history, epochs, best) for name in ["loss", *rest] if f"val_{name}" in history),
        *([_gradients(looks)] if looks else []),
    ]


def _by_epoch(name: str, history: Json, epochs: list[int], best: int) -> Figure:
    both = {"training": history[name], "validation": history[f"val_{name}"]}
    positive = name == "loss" and min(value for values in both.values() for value in values) > 0
    title = name.replace("_", " ").capitalize()
    return lines(
        title,
        "By epoch, on training and validation rows; the weights of the marked epoch were kept.",
        ("Epoch", title),
        {label: {"x": epochs, "y": values} for label, values in both.items()},
        marks=[{"x": best, "name": f"kept: {best}"}],
        log=positive,
    )


def _gradients(looks: Sequence[Json]) -> Figure:
    """Show the size of each layer's gradient at each look."""
    epochs, names = [look["epoch"] for look in looks], [*looks[0]["gradients"]]
    return lines(
        "Gradients",
        "Root mean square by layer, the first layer first; far apart or far from flat is a sign of trouble.",
        ("Epoch", "Gradient"),
        {name: {"x": epochs, "y": [look["gradients"][name] or None for look in looks]} for name in names},
        log=True,
    )


def _learning(training: Json) -> str:
    stopped = "stopped early" if training.get("stopped_early") else "ran to the end"
    told = f"{training['epochs']} epochs, {stopped}; epoch {training['best_epoch']} was kept."
    if warm := training.get("warm_start"):
        told += f" From epoch {warm['epoch']} on: a new optimizer, and the weights of epoch {warm['from_epoch']}."
    return f'<p class="soft">{escape(told)}</p>'


def _diagnosis(found: Json | None) -> str:
    """Return how the model fits and why, then what was ill with the network."""
    if not found:
        return ""
    colour = "good" if found["verdict"] == "good fit" else "bad"
    told = [f'<strong class="{colour}">{escape(found["verdict"].capitalize())}</strong>: {escape(found["reason"])}.']
    told += [escape(f"{text[0].upper()}{text[1:]}.") for text in found["findings"]]
    return "".join(f"<p>{line}</p>" for line in told)


def _folds(folds: Json | None) -> str:
    """Draw up the metrics of cross-validation."""
    if not folds:
        return ""
    rows = [{"metric": name, "mean": one["mean"], "deviation": one["deviation"]} for name, one in folds.items()]
    count = len(next(iter(folds.values()))["values"])
    note = f"{count} folds of the training and validation rows, each judged by a model that had not seen it."
    return table(rows) + f'<p class="soft">{note}</p>'


def _members(training: Json) -> str:
    """Draw up the members of an ensemble and how alike their errors are."""
    if not (members := training.get("members")):
        return ""
    mean = training["correlation"]["mean"]
    note = f"Mean correlation of their errors on validation rows: {number(mean)}; the lower, the more is won together."
    return table([{"member": place, **one} for place, one in enumerate(members, 1)]) + f'<p class="soft">{note}</p>'


def _provenance(report: Json, training: Json) -> str:
    told = {
        "version": report["version"],
        "data (SHA-256)": report["data"],
        "test part (SHA-256)": report["test"],
        "rows": ", ".join(f"{count} {part}" for part, count in report["rows"].items()),
        "parameters": f"{training['parameters']:,}",
        "seed": str(training["seed"]),
    }
    return table([{"what": name, "value": value} for name, value in told.items()])
