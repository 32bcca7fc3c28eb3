"""What a report tells of a task beyond one evaluation: verdicts, champions, the ledger, the data and the way here."""

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
from tiltyard.report.page import Cell, Section, badge, number, shown, spark, table
from tiltyard.workspace import Workspace

SHORT = 60  # characters of a heading
JUDGED = ("PROMOTE", "HOLD", "REJECT")
STATES = {"failed": "bad", "passed": "good"}
RIVALS = {"over_champion": "over the champion", "over_baseline": "over the baseline", "simple": "over a simple model"}


def verdict(decision: Decision | None) -> Section:
    """Draw up what each check said of a version, those that failed first; those with nothing to judge are folded."""
    checks = decision.checks if decision else []
    judged = sorted((one for one in checks if one["state"] in STATES), key=lambda one: [*STATES].index(one["state"]))
    idle = [{"check": one["title"], "why not": one["text"]} for one in checks if one["state"] not in STATES]
    rows = [
        {
            "check": one["title"],
            "outcome": Cell(f'<span class="{STATES[one["state"]]}">{one["state"]}</span>', one["state"]),
            "observed": one.get("observed"),
            "limit": one.get("limit"),
            "interval": _interval(one.get("interval")),
            "rows": one.get("rows"),
            "why": one["text"] or "What it saw was not recorded.",
        }
        for one in judged
    ]
    more = f"<details><summary>{len(idle)} more have nothing to judge</summary>{table(idle)}</details>" if idle else ""
    return Section("Verdict", table(rows) + more)


def _interval(ends: list[float] | None) -> str:
    return f"{number(ends[0])} to {number(ends[1])}" if ends else ""


def compared(task: Task, version: str, champion: Champion | None, decisions: list[Decision]) -> Section:
    """Put a version beside the champion; if it is the champion, beside whom it beat."""
    about = [one for one in decisions if one.version == version and one.verdict in JUDGED]
    if not about or not champion:
        return Section("Champion and challenger", "")
    new, rival = about[-1], about[-1].champion or champion.version
    old = next((one for one in reversed(decisions) if one.version == rival != version), None)
    word = "is the champion" if champion.version == version else f"challenges the champion {champion.version}"
    against = f"; held against {old.version}" if old else "; nobody stood against it"
    told = f"<p>{escape(version)} {escape(word)}{escape(against)}.</p>"
    return Section(
        "Champion and challenger", told + shown(_gains(task, new)) + (_beside(task, new, old) if old else "")
    )


def _gains(task: Task, decision: Decision) -> Iterator[Figure]:
    """Show what was gained over whom, with the intervals that the gate looked at."""
    known = {name: decision.evidence.get(key) for key, name in RIVALS.items()}
    gains = {name: (gain["value"], gain["low"], gain["high"]) for name, gain in known.items() if gain}
    values = {name: gain for name, gain in gains.items() if all(map(math.isfinite, gain))}  # nothing else can be drawn
    if values:
        text = "On the same sealed rows; a challenger wins by an interval that lies above zero as a whole."
        yield bars("What is gained", text, f"gain of {task.metric.title.lower()}", values)


def _beside(task: Task, new: Decision, old: Decision) -> str:
    """Draw up the metrics of two versions, if the same rows judged both."""
    if new.test != old.test:
        return f'<p class="soft">{escape(old.version)} was judged on other sealed rows when it was promoted.</p>'
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
    return table(rows)


def history(workspace: Workspace, task: Task, decisions: list[Decision]) -> Section:
    """Show the course of the gate's metric, and every line of the ledger, the last one first."""
    rows = [
        {
            "time": when(one.time),
            "verdict": Cell(badge(one.verdict), one.verdict),
            "version": one.version,
            "champion": one.champion,
            one.metric or "value": one.metrics.get(one.metric),
            "who": one.who,
            "reasons": "; ".join(one.reasons),
        }
        for one in decisions
    ]
    if not rows:
        return Section("History", "<p>Nothing was decided yet.</p>")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    whole = [{name: row.get(name) for name in columns} for row in reversed(rows)]
    return Section("History", _chain(workspace, task) + shown(_course(task, decisions)) + table(whole))


def _chain(workspace: Workspace, task: Task) -> str:
    faults = Registry(workspace).faults(task.name)
    if not faults:
        return '<p class="good">The ledger is whole: each line holds the hash of the one before it.</p>'
    return "".join(f'<p class="bad">{escape(fault)}</p>' for fault in faults)


def _course(task: Task, decisions: list[Decision]) -> list[Figure]:
    """Show the metric from verdict to verdict, and who was champion meanwhile."""
    judged = [one for one in decisions if one.verdict in JUDGED and one.metric == task.gate.metric]
    if len(judged) < 2:
        return []
    places, values = [*range(1, len(judged) + 1)], [one.metrics.get(one.metric) for one in judged]
    best: list[float | None] = []
    for one, value in zip(judged, values, strict=True):
        best.append(value if one.verdict == "PROMOTE" else best[-1] if best else None)
    return [
        lines(
            "From verdict to verdict",
            f"{task.metric.title} of each challenger, and of the champion after it.",
            ("Verdict", task.metric.title),
            {
                "challenger": {"x": places, "y": values, "dots": True},
                "champion": {"x": places, "y": best, "dashed": True},
            },
        )
    ]


def when(time: str) -> Cell:
    """Show the day, and the hour to whoever points at it."""
    return Cell(f'<time datetime="{escape(time)}" title="{escape(time)}">{escape(time[:10])}</time>', time)


def sparkline(task: Task, decisions: list[Decision]) -> Cell:
    """Draw the same in a cell; up is better."""
    judged = [one for one in decisions if one.verdict in JUDGED and one.metric == task.gate.metric]
    values, marks = [one.metrics.get(one.metric) for one in judged], [one.verdict for one in judged]
    return spark(values, marks, lower=not task.metric.higher_is_better)


def data(workspace: Workspace, task: Task) -> Section:
    """Draw up what validation expected of the raw data, and the versions that there were."""
    path = workspace.out(task.name, "validate") / "result.json"
    validated = files.read_json(path) if path.is_file() else {"expectations": [], "repairs": []}
    rows = [_expected(one) for one in sorted(validated["expectations"], key=lambda one: one["success"])]
    met = sum(one["success"] for one in validated["expectations"])
    told = f"<p>{met} of {len(rows)} expectations are met by {validated['rows']:,} rows.</p>" if rows else ""
    repairs = "".join(f'<p class="warn">Read with a repair: {escape(one)}</p>' for one in validated["repairs"])
    known = [
        {"version": one.data[:12], "fetched": when(one.time), "bytes": one.bytes, "files": one.files}
        for one in reversed(versions.recorded(workspace, task.name))
    ]
    return Section("Data docs", told + repairs + table(rows) + ("<h3>Versions</h3>" + table(known) if known else ""))


def _expected(one: Json) -> Json:
    arguments = {key: value for key, value in one["arguments"].items() if not key.startswith("column")}
    outcome = "met" if one["success"] else one["severity"]
    return {
        "column": one["column"] or "the table",
        "expectation": one["expectation"].removeprefix("expect_").replace("_", " "),
        "with": ", ".join(f"{key} {value}" for key, value in arguments.items()),
        "outcome": Cell(f'<span class="{"good" if one["success"] else "bad"}">{escape(outcome)}</span>', outcome),
        "rows off": one["unexpected_count"],
    }


def explanations(workspace: Workspace, task: Task, version: str) -> Section:
    """Show what `explain` found, the model as a whole first; say so if that was another version."""
    path = workspace.out(task.name, "explain") / "explain.json"
    if not path.is_file():
        return Section("Explanations", f"<p>Not made yet: <code>tiltyard explain {escape(task.name)}</code></p>")
    found = files.read_json(path)
    old = "" if found["version"] == version else f'<p class="warn">Of version {escape(found["version"])}.</p>'
    keys = ("title", "text", "kind", "data")
    parts, rows = [], {one["row"]: one for one in found.get("rows", [])}
    for row in [None, *rows]:
        heading = "" if row is None else f'<h3 class="part">{escape(_told(rows[row]))}</h3>'
        some = (Figure(**{key: one[key] for key in keys}) for one in found["exhibits"] if one["row"] == row)
        parts.append(heading + shown(some))
    return Section("Explanations", old + "".join(parts))


def _told(row: Json) -> str:
    """Return which row it is; forecasts and texts are too long for a heading."""
    short = all(isinstance(row[name], str | float | int) for name in ("actual", "answered"))
    actual, answered = (number(one) if isinstance(one, float) else str(one) for one in (row["actual"], row["answered"]))
    said = f": {actual}, answered {answered}" if short and len(actual + answered) < SHORT else ""
    return f"Row {row['row']}{said}"


def lineage(workspace: Workspace, task: Task, report: Json, training: Json, champion: Champion | None) -> Section:
    """Follow a model from its source to where it answers."""
    source = ", ".join(f"{key} {value}" for key, value in task.source.model_dump(mode="json").items() if value)
    serves = champion is not None and champion.version == report["version"]
    package = workspace.package(task.name, report["version"])
    steps = {
        "Source": source,
        "Data": f"{report['data'][:12]}, {sum(report['rows'].values()):,} rows",
        "Split": f"{task.split.kind}, seed {task.split.seed}; test part {report['test'][:12]}, sealed",
        "Training": f"{task.model.family}, {training['parameters']:,} parameters, seed {training['seed']}",
        "Model": report["version"],
        "Evaluation": f"{task.gate.metric} {number(report['metrics'][task.gate.metric])}",
        "Package": str(package.relative_to(workspace.root)) if package.is_dir() else "none",
        "Endpoint": f"POST /v1/models/{task.name}:predict" if serves else "none: it is not the champion",
    }
    drawn = "".join(f"<li><b>{name}</b>{escape(text)}</li>" for name, text in steps.items())
    return Section("Lineage", f'<ol class="lineage">{drawn}</ol>')
