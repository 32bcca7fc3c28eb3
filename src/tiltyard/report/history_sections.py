"""Report sections beyond one evaluation: verdict, champion and challenger, ledger, data, explanations, lineage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data import versions
from tiltyard.figures import Figure, bars, lines
from tiltyard.files import Json
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Champion, Registry
from tiltyard.report.html_elements import (
    Cell,
    Section,
    format_number,
    render_badge,
    render_figures,
    render_table,
    sparkline,
)
from tiltyard.workspace import Workspace

MAX_HEADING_CHARACTERS = 60
VERDICTS = ("PROMOTE", "HOLD", "REJECT")
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
            "observed": result.get("observed"),
            "limit": result.get("limit"),
            "interval": _format_interval(result.get("interval")),
            "rows": result.get("rows"),
            "why": result["text"] or "Its values were not recorded.",
        }
        for result in judged
    ]
    more = (
        f"<details><summary>{len(skipped)} checks do not apply</summary>{render_table(skipped)}</details>"
        if skipped
        else ""
    )
    return Section("Verdict", _override(decision) + render_table(rows) + more)


def _override(decision: Decision | None) -> str:
    """Return who promoted the version in spite of HOLD, and why."""
    if decision is None or not (word := decision.evidence.get("override")):
        return ""
    text = f"The gate held it. {word['who']} promoted it all the same: {word['reason']}"
    return f'<p class="bad">{escape(text)}</p>'


def _format_interval(ends: list[float] | None) -> str:
    return f"{format_number(ends[0])} to {format_number(ends[1])}" if ends else ""


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
        for decision in decisions
    ]
    if not rows:
        return Section("History", "<p>There is no verdict yet.</p>")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    complete = [{name: row.get(name) for name in columns} for row in reversed(rows)]
    return Section(
        "History",
        _ledger_state(workspace, task) + render_figures(_metric_history(task, decisions)) + render_table(complete),
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
        )
    ]


def date_cell(time: str) -> Cell:
    """Return a cell with the date; the tooltip shows the time."""
    return Cell(f'<time datetime="{escape(time)}" title="{escape(time)}">{escape(time[:10])}</time>', time)


def verdict_sparkline(task: Task, decisions: list[Decision]) -> Cell:
    """Return a sparkline of the metric by verdict; up is better."""
    judged = [
        decision for decision in decisions if decision.verdict in VERDICTS and decision.metric == task.gate.metric
    ]
    values, marks = (
        [decision.metrics.get(decision.metric) for decision in judged],
        [decision.verdict for decision in judged],
    )
    return sparkline(values, marks, lower=not task.metric.higher_is_better)


def data_section(workspace: Workspace, task: Task) -> Section:
    """Return the results of validation, and the versions of the raw data."""
    path = workspace.out(task.name, "validate") / "result.json"
    validated = files.read_json(path) if path.is_file() else {"expectations": [], "repairs": []}
    recorded = sorted(validated["expectations"], key=lambda expectation: expectation["success"])
    rows = [_expectation_row(expectation) for expectation in recorded]
    met = sum(expectation["success"] for expectation in recorded)
    summary = f"<p>{met} of {len(rows)} expectations are met by {validated['rows']:,} rows.</p>" if rows else ""
    repairs = "".join(f'<p class="warn">Repaired: {escape(repair)}</p>' for repair in validated["repairs"])
    version_rows = [
        {
            "version": version.data[:12],
            "fetched": date_cell(version.time),
            "bytes": version.bytes,
            "files": version.files,
        }
        for version in reversed(versions.recorded(workspace, task.name))
    ]
    return Section(
        "Data docs",
        summary
        + repairs
        + render_table(rows)
        + ("<h3>Versions</h3>" + render_table(version_rows) if version_rows else ""),
    )


def _expectation_row(expectation: Json) -> Json:
    arguments = {key: value for key, value in expectation["arguments"].items() if not key.startswith("column")}
    outcome = "met" if expectation["success"] else expectation["severity"]
    return {
        "column": expectation["column"] or "the table",
        "expectation": expectation["expectation"].removeprefix("expect_").replace("_", " "),
        "with": ", ".join(f"{key} {value}" for key, value in arguments.items()),
        "outcome": Cell(
            f'<span class="{"good" if expectation["success"] else "bad"}">{escape(outcome)}</span>', outcome
        ),
        "unexpected rows": expectation["unexpected_count"],
    }


def explanations_section(workspace: Workspace, task: Task, version: str) -> Section:
    """Return the explanations, the whole model first; mark those of another version."""
    path = workspace.out(task.name, "explain") / "explain.json"
    if not path.is_file():
        return Section("Explanations", f"<p>No explanations yet: <code>tiltyard explain {escape(task.name)}</code></p>")
    explained = files.read_json(path)
    old = "" if explained["version"] == version else f'<p class="warn">Of version {escape(explained["version"])}.</p>'
    keys = ("title", "text", "kind", "data")
    parts, rows = [], {row["row"]: row for row in explained.get("rows", [])}
    for row in [None, *rows]:
        heading = "" if row is None else f'<h3 class="part">{escape(_row_heading(rows[row]))}</h3>'
        exhibits = (exhibit for exhibit in explained["exhibits"] if exhibit["row"] == row)
        figures = (Figure(**{key: exhibit[key] for key in keys}) for exhibit in exhibits)
        parts.append(heading + render_figures(figures))
    return Section("Explanations", old + "".join(parts))


def _row_heading(row: Json) -> str:
    """Return the row number, with actual and predicted value if they are short enough for a heading."""
    short = all(isinstance(row[name], str | float | int) for name in ("actual", "answered"))
    actual, predicted = (
        format_number(value) if isinstance(value, float) else str(value) for value in (row["actual"], row["answered"])
    )
    values = f": {actual}, predicted {predicted}" if short and len(actual + predicted) < MAX_HEADING_CHARACTERS else ""
    return f"Row {row['row']}{values}"


def lineage_section(
    workspace: Workspace, task: Task, report: Json, training: Json, champion: Champion | None
) -> Section:
    """Return the lineage of a model, from its data source to its endpoint."""
    source = ", ".join(f"{key} {value}" for key, value in task.source.model_dump(mode="json").items() if value)
    serves = champion is not None and champion.version == report["version"]
    package = workspace.package(task.name, report["version"])
    steps = {
        "Source": source,
        "Data": f"{report['data'][:12]}, {sum(report['rows'].values()):,} rows",
        "Split": f"{task.split.kind}, seed {task.split.seed}; test rows {report['test'][:12]}, sealed",
        "Training": f"{task.model.family}, {training['parameters']:,} parameters, seed {training['seed']}",
        "Model": report["version"],
        "Evaluation": f"{task.metric.title}: {format_number(report['metrics'][task.gate.metric])}",
        "Package": str(package.relative_to(workspace.root)) if package.is_dir() else "none",
        "Endpoint": f"POST /v1/models/{task.name}:predict" if serves else "none: it is not the champion",
    }
    items = "".join(f"<li><b>{name}</b>{escape(text)}</li>" for name, text in steps.items())
    return Section("Lineage", f'<ol class="lineage">{items}</ol>')
