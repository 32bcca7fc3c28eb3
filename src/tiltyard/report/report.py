"""The verb report: a static site about all tasks, which opens from the disk and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.files import Json
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.registry.decision import TRAFFIC_VERDICTS, Decision
from tiltyard.registry.registry import Champion, Registry
from tiltyard.report import evaluation_sections, history_sections
from tiltyard.report.page import Cell, Page, Section, badge, facts, table
from tiltyard.workspace import Workspace

Say = Callable[[str], None]

HOME = "index.html"


def report(workspace: Workspace, tasks: Sequence[Task], into: Path | None = None, say: Say = lambda _: None) -> Json:
    """Write a page a task, then the one above them; in the folder nothing else is touched."""
    folder, rows = into or workspace.report, []
    for task in tasks:
        say(f"{task.name}: its page")
        try:
            written, row = page(workspace, task), _row(workspace, task)
        except RegistryError as error:  # of one task: the others have pages all the same
            say(f"{task.name}: {error.message}; {error.hint}")
            written, row = _unreadable(task, error), _unreadable_row(task)
        files.write_text(folder / f"{task.name}.html", written)
        rows.append(row)
    files.write_text(folder / HOME, _overview(rows))
    return {"folder": str(folder), "pages": [HOME, *(f"{task.name}.html" for task in tasks)]}


def write_page(workspace: Workspace, task: Task) -> Path:
    """Write the page of a task alone, beside those that are there."""
    path = workspace.report / f"{task.name}.html"
    up = HOME if path.with_name(HOME).is_file() else ""
    try:
        written = page(workspace, task, up)
    except RegistryError as error:
        written = _unreadable(task, error, up)
    files.write_text(path, written)
    return path


def page(workspace: Workspace, task: Task, up: str = HOME) -> str:
    """Return the page of a task; what it has not come to yet is left out."""
    registry, out = Registry(workspace), workspace.out(task.name, "evaluate")
    champion, decisions = registry.champion(task.name), registry.decisions(task.name)
    try:
        told, test = read_evaluated(workspace, task)
    except TiltyardError as error:  # of one task: the others have pages all the same
        return _unmeasured(workspace, task, decisions, error.message, up)
    training = files.read_json(workspace.out(task.name, "train") / "training.json")
    predictions = Predictions.load(out / "predictions.npz", task.classes, task.target.told)
    judged = [one for one in decisions if one.version == told["version"] and one.verdict not in TRAFFIC_VERDICTS]
    last = judged[-1] if judged else None
    measured = evaluation_sections.sections(task, told, training, predictions, test.rows)
    sections = [
        *measured[:1],
        history_sections.verdict(last),
        history_sections.compared(task, told["version"], champion, decisions),
        *measured[1:-1],
        history_sections.explanations(workspace, task, told["version"]),
        history_sections.history(workspace, task, decisions),
        history_sections.data(workspace, task),
        history_sections.lineage(workspace, task, told, training, champion),
        measured[-1],
    ]
    head = evaluation_sections.head(task, told, last.verdict if last else "none yet", last.reasons if last else ())
    return Page(f"{task.name}: report", head, sections, up).html()


def _unmeasured(workspace: Workspace, task: Task, decisions: list[Decision], text: str, up: str) -> str:
    """Return what the registry knows, where there are no figures, as in a fresh clone."""
    told = f"<p>{escape(text)}: <code>tiltyard run {escape(task.name)}</code></p>"
    head = f"<h1>{escape(task.title)}</h1>{facts({'task': task.name, 'problem': task.problem})}{told}"
    sections = [history_sections.history(workspace, task, decisions), history_sections.data(workspace, task)]
    return Page(f"{task.name}: report", head, sections, up).html()


def _unreadable(task: Task, error: RegistryError, up: str = HOME) -> str:
    """Return on a task's page why its registry cannot be read, and what to type."""
    told = f'<p class="bad">{escape(error.message)}</p><p>{escape(error.hint)}</p>'
    head = f"<h1>{escape(task.title)}</h1>{facts({'task': task.name, 'problem': task.problem})}{told}"
    return Page(f"{task.name}: report", head, [], up).html()


def _unreadable_row(task: Task) -> Json:
    """Leave the figures of such a task open."""
    empty = dict.fromkeys(("value", "baseline", "metric", "verdicts", "champion", "decided"))
    link = Cell(f'<a href="{escape(task.name)}.html">{escape(task.name)}</a>', task.name)
    verdict = Cell('<span class="bad">cannot be read</span>', "cannot be read")
    return {"task": link, "last verdict": verdict, **empty, "problem": task.problem, "about": task.title}


def _row(workspace: Workspace, task: Task) -> Json:
    """Sum a task up in a line."""
    registry = Registry(workspace)
    champion, decisions = registry.champion(task.name), registry.decisions(task.name)
    last, metric = decisions[-1] if decisions else None, task.gate.metric
    value, baseline = _figures(champion, last, metric)
    return {
        "task": Cell(f'<a href="{escape(task.name)}.html">{escape(task.name)}</a>', task.name),
        "last verdict": Cell(badge(last.verdict if last else None), last.verdict if last else ""),
        "value": value,
        "baseline": baseline,
        "metric": metric.replace("_", " "),
        "verdicts": history_sections.sparkline(task, decisions),
        "champion": Cell(f"<code>{escape(champion.version)}</code>", champion.version) if champion else None,
        "decided": history_sections.when(last.time) if last else None,
        "problem": task.problem,
        "about": task.title,
    }


def _figures(champion: Champion | None, last: Decision | None, metric: str) -> tuple[float | None, float | None]:
    """Return the champion's figure and the baseline's; where there is none, what was judged last."""
    decision = champion.decision if champion else last
    return (decision.metrics.get(metric), decision.baseline.get(metric)) if decision else (None, None)


def _overview(rows: list[Json]) -> str:
    """List all tasks."""
    count = sum(row["champion"] is not None for row in rows)
    told = f"{len(rows)} tasks, {count} with a champion. Dots are verdicts: promoted, held, rejected; up is better."
    head = f'<h1>Tiltyard</h1><p class="soft">{told}</p>'
    field = '<input class="filter" type="search" data-of="all" placeholder="Filter tasks" aria-label="Filter tasks">'
    return Page("Tiltyard: report", head, [Section("Tasks", field + table(rows, "all"))]).html()
