"""The overview of a project: what needs attention, a card for each task, experiments, data and the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data import versions
from tiltyard.errors import RegistryError
from tiltyard.files import Json
from tiltyard.registry.decision import Decision
from tiltyard.registry.queries import recorded_facts
from tiltyard.registry.registry import Champion, Registry
from tiltyard.report.drawings import Value, interval_drawing
from tiltyard.report.html_elements import (
    Cell,
    Section,
    date_cell,
    render_badge,
    render_table,
)
from tiltyard.report.page import Page, Tab
from tiltyard.report.sections.distributions import drift_records
from tiltyard.report.sections.experiments import search_sections, study_sections
from tiltyard.report.sections.history import VERDICTS, verdict_sparkline
from tiltyard.workspace import Workspace

MAX_LEDGER = 500  # latest lines of all tasks
LIGHTS = {"drifted": "bad", "no drift": "good", "drift not measured": "soft"}


@dataclass(frozen=True)
class Summary:
    """What the overview says about a task."""

    task: Task
    champion: Champion | None = None
    decisions: list[Decision] = field(default_factory=list)
    drift: str = "drift not measured"
    error: str = ""

    @property
    def judged(self) -> Decision | None:
        """The last decision of the gate about a version."""
        return next((one for one in reversed(self.decisions) if one.verdict in VERDICTS), None)

    @property
    def has_run(self) -> bool:
        """Whether there is a decision about it, or an error."""
        return bool(self.decisions or self.error)

    @property
    def problems(self) -> list[str]:
        """What needs attention, in words."""
        failed = first_failed(self.judged)
        found = [self.error] if self.error else []
        if self.judged and self.judged.verdict != "PROMOTE":
            found.append(f"{self.judged.verdict}: {failed['title']}" if failed else self.judged.verdict)
        return [*found, *(["its inputs drifted"] if self.drift == "drifted" else [])]


def read_summary(workspace: Workspace, task: Task) -> Summary:
    """Return the summary of a task; with an error if its registry cannot be read."""
    try:
        return _summary(workspace, task)
    except RegistryError as error:
        return Summary(task, error=error.message)


def _summary(workspace: Workspace, task: Task) -> Summary:
    """Read the registry of a task, and the drift of what its service recorded."""
    registry = Registry(workspace)
    champion, decisions = registry.champion(task.name), registry.decisions(task.name)
    faults = registry.faults(task.name)
    records, reason = drift_records(workspace, task, champion)
    drifted = any(record["drifted"] for record in records)
    drift = "drift not measured" if reason or not records else "drifted" if drifted else "no drift"
    return Summary(task, champion, decisions, drift, faults[0] if faults else "")


def first_failed(decision: Decision | None) -> Json | None:
    """Return the first check that failed."""
    return next((check for check in (decision.checks if decision else ()) if check["state"] == "failed"), None)


def overview_page(workspace: Workspace, summaries: Sequence[Summary]) -> str:
    """Return the page."""
    tasks = [summary.task for summary in summaries]
    tabs = [
        Tab("Tasks", _task_sections(workspace, summaries)),
        Tab("Experiments", [*search_sections(workspace, tasks), *study_sections(workspace)]),
        Tab("Data", [Section("Versions of the data", render_table(_data_rows(workspace, tasks)))]),
        Tab("Ledger", [Section("Decisions", _ledger_html(summaries))]),
    ]
    return Page("Tiltyard: report", f"<h1>Tiltyard</h1>{_counts(summaries)}", tabs).html()


def _counts(summaries: Sequence[Summary]) -> str:
    """Return how many tasks there are, and in which state."""
    champions = sum(summary.champion is not None for summary in summaries)
    attention = sum(bool(summary.problems) for summary in summaries)
    waiting = sum(not summary.has_run for summary in summaries)
    numbers = {
        "tasks": len(summaries),
        "with a champion": champions,
        "need attention": attention,
        "not run yet": waiting,
    }
    items = "".join(f"<li><strong>{count}</strong> {name}</li>" for name, count in numbers.items())
    return f'<ul class="counts">{items}</ul>'


def _task_sections(workspace: Workspace, summaries: Sequence[Summary]) -> list[Section]:
    """Return what needs attention, the cards, the tasks that were not run, and all as a table."""
    problems = [
        f"<li>{_link(summary.task)}: {escape(problem)}</li>" for summary in summaries for problem in summary.problems
    ]
    cards = "".join(_card(workspace, summary) for summary in summaries if summary.has_run)
    waiting = [summary.task for summary in summaries if not summary.has_run]
    rows = [{"task": Cell(_link(task), task.name), "problem": task.problem, "about": task.title} for task in waiting]
    open_ = "" if cards else " open"
    were = "1 task was" if len(rows) == 1 else f"{len(rows)} tasks were"
    folded = f"<details{open_}><summary>{were} not run yet</summary>{render_table(rows)}</details>"
    field_ = '<input class="filter" type="search" data-of="all" placeholder="Filter tasks" aria-label="Filter tasks">'
    table = render_table([_row(summary) for summary in summaries], "all")
    return [
        Section("Needs attention", f"<ul>{''.join(problems)}</ul>" if problems else ""),
        Section("Tasks", f'<div class="cards">{cards}</div>' if cards else ""),
        Section("Not run yet", folded if rows else ""),
        Section(
            "All tasks",
            f"{field_}{table}<p class='soft'>Dots are verdicts: promoted, held, rejected; up is better.</p>",
        ),
    ]


def _link(task: Task) -> str:
    return f'<a href="{escape(task.name)}.html">{escape(task.name)}</a>'


def _card(workspace: Workspace, summary: Summary) -> str:
    """Return the card of a task: its metric, values beside one another, verdict, first failed check, drift."""
    task, last = summary.task, summary.judged
    failed = first_failed(last)
    why = f'<p class="bad">{escape(failed["title"])}: {escape(failed["text"])}</p>' if failed else ""
    error = f'<p class="bad">{escape(summary.error)}</p>' if summary.error else ""
    light = f'<span class="light {LIGHTS[summary.drift]}">{summary.drift}</span>'
    values = _values(workspace, summary)
    drawing = interval_drawing(values)
    names = "".join(f"<li><span class='dot {value.style}'></span>{escape(value.text)}</li>" for value in values)
    several = sum(decision.verdict in VERDICTS for decision in summary.decisions) > 1
    history = verdict_sparkline(task, summary.decisions).html if several else ""
    return (
        f'<article class="card"><h3>{_link(task)}</h3><p>{escape(task.title)}{escape(_stand_in(summary))}</p>'
        f'<p class="soft">{escape(task.metric.title)}, {_direction(task)}</p>'
        f'<div class="bullet">{drawing}<ul class="plain">{names}</ul></div>'
        f'<p class="state">{render_badge(last.verdict if last else None)}{light}{history}</p>{why}{error}</article>'
    )


def _direction(task: Task) -> str:
    return "higher is better" if task.metric.higher_is_better else "lower is better"


def _stand_in(summary: Summary) -> str:
    version = summary.champion.version if summary.champion else summary.judged.version if summary.judged else ""
    return " (stand-in data)" if recorded_facts(summary.decisions, version).get("stand_in") else ""


def _values(workspace: Workspace, summary: Summary) -> list[Value]:
    """Return the metric of baseline, champion and challenger, with the intervals that are on record."""
    task, last, champion = summary.task, summary.judged, summary.champion
    if last is None:
        return []
    metric = task.gate.metric
    ends = _intervals(workspace, task, {last.version, *([champion.version] if champion else [])})
    values = [Value("baseline", last.baseline.get(metric), style="soft")]
    if champion:
        values.append(Value("champion", champion.decision.metrics.get(metric), ends.get(champion.version), "good"))
    if not champion or champion.version != last.version:
        values.append(Value("challenger", last.metrics.get(metric), ends.get(last.version), "warn"))
    return [value for value in values if value.value is not None]


def _intervals(workspace: Workspace, task: Task, names: set[str]) -> dict[str, list[float]]:
    """Return the interval of the gate's metric by version, from packages that are here and the last evaluation."""
    found: dict[str, list[float]] = {}
    for name in names:
        figures = (_read(workspace.package(task.name, name) / "schema.json").get("card") or {}).get("figures", [])
        ends = next((one.get("interval") for one in figures if one.get("decides")), None)
        found |= {name: ends} if ends else {}
    report = _read(workspace.out(task.name, "evaluate") / "report.json")
    ends = report.get("intervals", {}).get(task.gate.metric)
    return found | ({report["version"]: ends} if ends else {})


def _read(path: Path) -> Json:
    return files.read_json(path) if path.is_file() else {}


def _row(summary: Summary) -> Json:
    """Return the row of the table of all tasks; without values if the registry cannot be read."""
    task, champion, last = summary.task, summary.champion, summary.judged
    metric, decision = task.gate.metric, champion.decision if champion else last
    verdict = "cannot be read" if summary.error and not summary.decisions else last.verdict if last else None
    badge = f'<span class="bad">{verdict}</span>' if verdict == "cannot be read" else render_badge(verdict)
    return {
        "task": Cell(_link(task), task.name),
        "last verdict": Cell(badge, verdict or ""),
        "value": decision.metrics.get(metric) if decision else None,
        "baseline": decision.baseline.get(metric) if decision else None,
        "metric": f"{task.metric.title}, {_direction(task)}",
        "verdicts": verdict_sparkline(task, summary.decisions),
        "champion": Cell(f"<code>{escape(champion.version)}</code>", champion.version) if champion else None,
        "decided": date_cell(last.time) if last else None,
        "problem": f"{task.problem}{_stand_in(summary)}",
    }


def _data_rows(workspace: Workspace, tasks: Sequence[Task]) -> list[Json]:
    """Return the latest version of each task's data, and how many expectations it meets."""
    rows = []
    for task in tasks:
        recorded = versions.recorded(workspace, task.name)
        validated = _read(workspace.out(task.name, "validate") / "result.json")
        expectations = validated.get("expectations", [])
        met = sum(expectation["success"] for expectation in expectations)
        if recorded or expectations:
            rows.append(
                {
                    "task": Cell(_link(task), task.name),
                    "rows": validated.get("rows"),
                    "expectations met": f"{met} of {len(expectations)}",
                    "repairs": len(validated.get("repairs", ())),
                    "versions": len(recorded),
                    "latest": recorded[-1].data[:12] if recorded else "",
                    "fetched": date_cell(recorded[-1].time) if recorded else None,
                    "bytes": recorded[-1].bytes if recorded else None,
                }
            )
    return rows


def _ledger_html(summaries: Sequence[Summary]) -> str:
    """Return the latest decisions about all tasks, latest first."""
    lines = sorted(
        ((decision, summary.task) for summary in summaries for decision in summary.decisions),
        key=lambda pair: pair[0].time,
        reverse=True,
    )
    rows = [
        {
            "time": date_cell(decision.time),
            "task": Cell(_link(task), task.name),
            "decision": Cell(render_badge(decision.verdict), decision.verdict),
            "version": decision.version,
            "metric": decision.metric,
            "value": decision.metrics.get(decision.metric),
            "who": decision.who,
            "reasons": "; ".join(decision.reasons),
        }
        for decision, task in lines[:MAX_LEDGER]
    ]
    more = f'<p class="soft">The latest {MAX_LEDGER} of {len(lines):,}.</p>' if len(lines) > MAX_LEDGER else ""
    return render_table(rows) + more
