"""All verdicts on a task: the ledger, and the metric from verdict to verdict."""

from __future__ import annotations

from html import escape

from tiltyard.config.task import Task
from tiltyard.figures import Figure, lines
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.report.html_elements import (
    Cell,
    Section,
    date_cell,
    render_badge,
    render_figures,
    render_table,
    sparkline,
)
from tiltyard.workspace import Workspace

VERDICTS = ("PROMOTE", "HOLD", "REJECT")
MAX_DRAWN, MAX_LISTED, MAX_DOTS = 300, 500, 40  # the latest verdicts in plots, tables and small curves


def history_section(workspace: Workspace, task: Task, decisions: list[Decision]) -> Section:
    """Plot the gate's metric over all verdicts, and list the ledger, latest line first."""
    rows = [
        {
            "time": date_cell(decision.time),
            "verdict": Cell(render_badge(decision.verdict), decision.verdict),
            "version": decision.version,
            "champion": decision.champion,
            decision.metric or "value": decision.metrics.get(decision.metric),
            "who": decision.who,
            "reasons": "; ".join(decision.reasons),
        }
        for decision in decisions[-MAX_LISTED:]
    ]
    if not rows:
        return Section("History", "<p>There is no verdict yet.</p>")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    complete = [{name: row.get(name) for name in columns} for row in reversed(rows)]
    more = (
        f'<p class="soft">The latest {MAX_LISTED} of {len(decisions):,} lines.</p>'
        if len(decisions) > MAX_LISTED
        else ""
    )
    return Section(
        "History",
        _ledger_state(workspace, task)
        + render_figures(_metric_history(task, decisions))
        + render_table(complete)
        + more,
    )


def _ledger_state(workspace: Workspace, task: Task) -> str:
    faults = Registry(workspace).faults(task.name)
    if not faults:
        return '<p class="good">The ledger is intact: each line holds the hash of the line before it.</p>'
    return "".join(f'<p class="bad">{escape(fault)}</p>' for fault in faults)


def _metric_history(task: Task, decisions: list[Decision]) -> list[Figure]:
    """Plot the metric by verdict, for challengers and for the champion."""
    judged = [
        decision for decision in decisions if decision.verdict in VERDICTS and decision.metric == task.gate.metric
    ]
    if len(judged) < 2:
        return []
    judged = judged[-MAX_DRAWN:]
    numbers, values = [*range(1, len(judged) + 1)], [decision.metrics.get(decision.metric) for decision in judged]
    best: list[float | None] = []
    for decision, value in zip(judged, values, strict=True):
        best.append(value if decision.verdict == "PROMOTE" else best[-1] if best else None)
    return [
        lines(
            "Metric by verdict",
            f"{task.metric.title} of each challenger, and of the champion after it.",
            ("Verdict", task.metric.title),
            {
                "challenger": {"x": numbers, "y": values, "dots": True},
                "champion": {"x": numbers, "y": best, "dashed": True},
            },
        ),
        *_gain_history(task, judged),
    ]


def _gain_history(task: Task, judged: list[Decision]) -> list[Figure]:
    """Plot the gain over the baseline by verdict, with the intervals that the gate used."""
    gains = [decision.evidence.get("over_baseline") for decision in judged]
    if not any(gains):
        return []
    values, low, high = ([gain[key] if gain else None for gain in gains] for key in ("value", "low", "high"))
    curve = {"x": [*range(1, len(judged) + 1)], "y": values, "low": low, "high": high, "dots": True}
    text = "Gain of each challenger over the baseline, with the intervals that the gate used."
    return [lines("Gain by verdict", text, ("Verdict", f"Gain: {task.metric.title}"), {"challenger": curve})]


def verdict_sparkline(task: Task, decisions: list[Decision]) -> Cell:
    """Return a sparkline of the metric by verdict; up is better."""
    judged = [
        decision for decision in decisions if decision.verdict in VERDICTS and decision.metric == task.gate.metric
    ][-MAX_DOTS:]
    values, marks = (
        [decision.metrics.get(decision.metric) for decision in judged],
        [decision.verdict for decision in judged],
    )
    return sparkline(values, marks, lower=not task.metric.higher_is_better)
