"""The verdict, check by check, and the comparison of a version with the champion."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from tiltyard.config.task import Task
from tiltyard.figures import Figure, bars
from tiltyard.files import Json
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Champion
from tiltyard.report.drawings import limit_drawing
from tiltyard.report.html_elements import Cell, Section, format_number, render_figures, render_table
from tiltyard.report.sections.history import VERDICTS

STATE_CLASSES = {"failed": "bad", "passed": "good"}
GAINS = {
    "over_champion": "over the champion",
    "over_baseline": "over the baseline",
    "reference": "over the reference",
    "simple": "over a simple model",  # in ledgers written before there was a reference
}


def verdict_section(decision: Decision | None) -> Section:
    """Return the result of each check, failed ones first; checks that do not apply are collapsed."""
    checks = decision.checks if decision else []
    judged = [check for state in STATE_CLASSES for check in checks if check["state"] == state]
    skipped = [
        {"check": check["title"], "why not": check["text"]} for check in checks if check["state"] not in STATE_CLASSES
    ]
    rows = [
        {
            "check": result["title"],
            "outcome": Cell(
                f'<span class="{STATE_CLASSES[result["state"]]}">{result["state"]}</span>', result["state"]
            ),
            "observed and limit": _measured(result),
            "why": result["text"] or "Its values were not recorded.",
        }
        for result in judged
    ]
    more = (
        f"<details><summary>{len(skipped)} checks do not apply</summary>{render_table(skipped)}</details>"
        if skipped
        else ""
    )
    key = (
        '<p class="soft">The line is the limit; the shaded side passes; the dot is what was observed.</p>'
        if rows
        else ""
    )
    return Section("Verdict", _override(decision) + render_table(rows) + key + more)


def _override(decision: Decision | None) -> str:
    """Return who promoted the version in spite of HOLD, and why."""
    if decision is None or not (word := decision.evidence.get("override")):
        return ""
    text = f"The gate held it. {word['who']} promoted it all the same: {word['reason']}"
    return f'<p class="bad">{escape(text)}</p>'


def _measured(result: Json) -> Cell:
    """Draw what a check observed beside its limit, with the numbers below: columns of their own would not fit."""
    observed, limit, ends = (result.get(name) for name in ("observed", "limit", "interval"))
    drawn = limit_drawing(observed, limit, ends, passed=result["state"] == "passed")
    numbers = {
        "observed": None if observed is None else format_number(observed),
        "interval": f"{format_number(ends[0])} to {format_number(ends[1])}" if ends else None,
        "limit": None if limit is None else format_number(limit),
        "rows": result.get("rows"),
    }
    text = ", ".join(f"{name} {number}" for name, number in numbers.items() if number is not None)
    return Cell(f'{drawn.html}<span class="soft">{escape(text)}</span>', drawn.value)


def comparison_section(task: Task, version: str, champion: Champion | None, decisions: list[Decision]) -> Section:
    """Compare a version with the champion, or the champion with the one that it replaced."""
    about = [decision for decision in decisions if decision.version == version and decision.verdict in VERDICTS]
    if not about or not champion:
        return Section("Champion and challenger", "")
    new, rival = about[-1], about[-1].champion or champion.version
    old = next((decision for decision in reversed(decisions) if decision.version == rival != version), None)
    role = "is the champion" if champion.version == version else f"challenges the champion {champion.version}"
    against = f"; compared with {old.version}" if old else "; there was no champion to compare with"
    text = f"<p>{escape(version)} {escape(role)}{escape(against)}.</p>"
    return Section(
        "Champion and challenger",
        text + render_figures(_gain_figures(task, new)) + (_metric_table(task, new, old) if old else ""),
    )


def _gain_figures(task: Task, decision: Decision) -> Iterator[Figure]:
    """Plot the gains over champion, baseline and reference, with the intervals that the gate used."""
    recorded_gains = {name: decision.evidence.get(key) for key, name in GAINS.items()}
    gains = {name: (gain["value"], gain["low"], gain["high"]) for name, gain in recorded_gains.items() if gain}
    values = {
        name: gain for name, gain in gains.items() if all(map(math.isfinite, gain))
    }  # infinite values cannot be plotted
    if values:
        text = "On the same sealed test rows. A challenger wins if the whole interval lies above zero."
        yield bars("Gain", text, f"Gain: {task.metric.title}", values)


def _metric_table(task: Task, new: Decision, old: Decision) -> str:
    """Return a table of the metrics of two versions, if both were judged on the same test rows."""
    if new.test != old.test:
        return f'<p class="soft">{escape(old.version)} was judged on other sealed test rows when it was promoted.</p>'
    rows = [
        {
            "metric": metric.title,
            new.version: new.metrics.get(name),
            old.version: old.metrics.get(name),
            "gain": metric.gain(new.metrics[name], old.metrics[name]),
        }
        for name, metric in task.evaluator.metrics.items()
        if name in new.metrics and name in old.metrics
    ]
    return render_table(rows)
