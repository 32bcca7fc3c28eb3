"""The head of the page, and the table of metrics with intervals and the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.report.drawings import Value, interval_drawing
from tiltyard.report.html_elements import Cell, Section, format_number, render_badge, render_facts, render_table


def summary(task: Task, report: Json, verdict: str | None = None, reasons: Sequence[str] = ()) -> str:
    """Return the head of the page: the gate's metric, the baseline and the verdict on the version."""
    name = report["metric"]
    value, baseline = report["metrics"][name], report["baseline"][name]
    better = task.metric.gain(value, baseline) > 0
    style, comparison = ("good", "better than") if better else ("bad", "not better than")
    stand_in = [f"Stand-in data: {report['stand_in']}."] if "stand_in" in report else []
    notes = "".join(f'<p class="bad">{escape(note)}</p>' for note in [*stand_in, *report.get("notes", ())])
    why = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    badge = f"<div>{render_badge(verdict)}<ul>{why}</ul></div>" if verdict else ""
    facts = {"task": task.name, "problem": task.problem, "version": report["version"], "data": report["data"][:12]}
    return (
        f"<h1>{escape(task.title)}</h1>{render_facts(facts)}"
        f'<div class="lead"><div><div class="soft">{escape(task.metric.title)} on '
        f"{_rows(task, report)}</div><strong>{format_number(value)}</strong> "
        f'<span class="soft">{_certainty(task, report, name)}</span>'
        f'<div class="{style}">{comparison} the baseline&rsquo;s {format_number(baseline)}</div></div>{badge}</div>'
        f"{notes}"
    )


def _rows(task: Task, report: Json) -> str:
    """Return the rows of the metrics in words."""
    count = f"{report['rows']['test']:,}"
    return f"all {count} rows, which are also the training rows" if task.split.complete else f"{count} sealed test rows"


def _certainty(task: Task, report: Json, name: str) -> str:
    """Return the interval of the gate's metric in words."""
    if task.split.complete:
        return "(no interval: there are no other rows)"
    return f"({task.gate.confidence:.0%} interval {_interval(report, name)})"


def metrics_section(task: Task, report: Json) -> Section:
    """Return all metrics."""
    return Section("Metrics", _metric_table(task, report))


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
                "interval": "none" if task.split.complete else _interval(report, name),
                "drawn": _drawing(task, report, name),
                "baseline": report["baseline"][name],
                "training rows": report["train"][name],
            }
        )
    drawn = f"{task.gate.confidence:.0%} bootstrap of {_drawn(report.get('dependence'))}"
    intervals = "none, since the rows are all that exist" if task.split.complete else drawn
    note = f"Intervals: {intervals}. Baseline: {task.evaluator.baseline_title}."
    return render_table(rows) + f'<p class="soft">{escape(note)}</p>'


def _drawing(task: Task, report: Json, name: str) -> Cell:
    """Draw the value with its interval above the baseline."""
    ends = None if task.split.complete else report["intervals"][name]
    better = task.evaluator.metrics[name].gain(report["metrics"][name], report["baseline"][name]) > 0
    values = [
        Value("model", report["metrics"][name], ends, "good" if better else "bad"),
        Value("baseline", report["baseline"][name], style="soft"),
    ]
    return Cell(interval_drawing(values), str(report["metrics"][name]))


def _interval(report: Json, name: str) -> str:
    """Return an interval in words."""
    if (ends := report["intervals"][name]) is None:
        return "unknown: too few independent test rows"
    low, high = ends
    return f"{format_number(low)} to {format_number(high)}"


def _drawn(dependence: Json | None) -> str:
    """Return what the bootstrap draws: rows, blocks of time steps, or groups."""
    return "the test rows" if dependence is None else f"{dependence['drawn']}, {dependence['units']:,} in all"
