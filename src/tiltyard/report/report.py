"""The HTML report (`tiltyard report`): a page for each task and an overview, readable without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.figures import Figure
from tiltyard.files import Json
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.registry.decision import TRAFFIC_VERDICTS, Decision
from tiltyard.registry.queries import recorded_facts
from tiltyard.registry.registry import Champion, Registry
from tiltyard.report.html_elements import (
    Cell,
    Page,
    Section,
    date_cell,
    render_badge,
    render_facts,
    render_figures,
    render_table,
)
from tiltyard.report.sections.clusters import clusters_section
from tiltyard.report.sections.data import data_section
from tiltyard.report.sections.explanations import explanations_section
from tiltyard.report.sections.history import history_section, verdict_sparkline
from tiltyard.report.sections.input_space import input_space_figures
from tiltyard.report.sections.lineage import lineage_section, provenance_section
from tiltyard.report.sections.metrics import metrics_section, summary
from tiltyard.report.sections.network import network_section
from tiltyard.report.sections.pictures import picture_figures
from tiltyard.report.sections.predictions import prediction_sections
from tiltyard.report.sections.recommendation import recommendation_section
from tiltyard.report.sections.rows import LearnedRows
from tiltyard.report.sections.samples import samples_section
from tiltyard.report.sections.series import rollout_section, series_figures, walk_forward_section
from tiltyard.report.sections.training import training_sections
from tiltyard.report.sections.verdict import comparison_section, verdict_section
from tiltyard.workspace import Workspace

PrintProgress = Callable[[str], None]

INDEX = "index.html"


def report(
    workspace: Workspace,
    tasks: Sequence[Task],
    into: Path | None = None,
    print_progress: PrintProgress = lambda _: None,
) -> Json:
    """Write a page for each task and the overview; leave other files of the folder alone."""
    folder, rows = into or workspace.report, []
    for task in tasks:
        print_progress(f"{task.name}: writing its page")
        try:
            written, row = task_page(workspace, task), _overview_row(workspace, task)
        except RegistryError as error:  # the pages of other tasks are still written
            print_progress(f"{task.name}: {error.message}; {error.hint}")
            written, row = _error_page(task, error), _error_row(task)
        files.write_text(folder / f"{task.name}.html", written)
        rows.append(row)
    files.write_text(folder / INDEX, _overview_page(rows))
    return {"folder": str(folder), "pages": [INDEX, *(f"{task.name}.html" for task in tasks)]}


def write_page(workspace: Workspace, task: Task) -> Path:
    """Write the page of one task, and link it to the overview if that exists."""
    path = workspace.report / f"{task.name}.html"
    up = INDEX if path.with_name(INDEX).is_file() else ""
    try:
        written = task_page(workspace, task, up)
    except RegistryError as error:
        written = _error_page(task, error, up)
    files.write_text(path, written)
    return path


def task_page(workspace: Workspace, task: Task, up: str = INDEX) -> str:
    """Return the page of a task; sections without data are left out."""
    registry, out = Registry(workspace), workspace.out(task.name, "evaluate")
    champion, decisions = registry.champion(task.name), registry.decisions(task.name)
    try:
        evaluated = read_evaluated(workspace, task)
    except TiltyardError as error:  # the pages of other tasks are still written
        return _page_without_metrics(workspace, task, decisions, error.message, up)
    evaluation, rows = evaluated.report, evaluated.test.rows
    training = files.read_json(evaluated.train / "training.json")
    predictions = Predictions.load(out / "predictions.npz", task.labels, task.target.display_name)
    judged = [
        decision
        for decision in decisions
        if decision.version == evaluation["version"] and decision.verdict not in TRAFFIC_VERDICTS
    ]
    last = judged[-1] if judged else None
    sections = [
        metrics_section(task, evaluation),
        verdict_section(last),
        comparison_section(task, evaluation["version"], champion, decisions),
        *prediction_sections(
            task,
            evaluation,
            predictions,
            rows,
            [*input_space_figures(task, evaluated, predictions), *picture_figures(task, evaluated, predictions)],
        ),
        recommendation_section(task, evaluated, workspace.out(task.name, "prepare")),
        samples_section(evaluation, out),
        walk_forward_section(task, evaluation, out),
        rollout_section(task, evaluation, out),
        clusters_section(task, evaluation),
        *training_sections(task, evaluation, training),
        network_section(evaluated.train),
        explanations_section(workspace, task, evaluation["version"]),
        history_section(workspace, task, decisions),
        Section("Data", render_figures(_data_figures(workspace, task, predictions))),
        data_section(workspace, task),
        lineage_section(workspace, task, evaluation, training, champion),
        provenance_section(evaluation, training),
    ]
    head = summary(task, evaluation, last.verdict if last else "none yet", last.reasons if last else ())
    return Page(f"{task.name}: report", head, sections, up).html()


def _data_figures(workspace: Workspace, task: Task, predictions: Predictions) -> list[Figure]:
    """Return plots of the data: the series with its split, or labels, number columns and pictures."""
    prepared = workspace.out(task.name, "prepare")
    learned = LearnedRows(task, prepared, predictions.truth)
    return [*series_figures(task, prepared, predictions), *learned.figures()]


def _page_without_metrics(workspace: Workspace, task: Task, decisions: list[Decision], text: str, up: str) -> str:
    """Return a page of what the registry and validation hold, if there are no metrics, as in a fresh clone."""
    reason = f"<p>{escape(text)}: <code>tiltyard run {escape(task.name)}</code></p>"
    head = f"<h1>{escape(task.title)}</h1>{render_facts({'task': task.name, 'problem': task.problem})}{reason}"
    sections = [
        history_section(workspace, task, decisions),
        data_section(workspace, task),
    ]
    return Page(f"{task.name}: report", head, sections, up).html()


def _error_page(task: Task, error: RegistryError, up: str = INDEX) -> str:
    """Return a page that says why a task's registry cannot be read, and what to do."""
    reason = f'<p class="bad">{escape(error.message)}</p><p>{escape(error.hint)}</p>'
    head = f"<h1>{escape(task.title)}</h1>{render_facts({'task': task.name, 'problem': task.problem})}{reason}"
    return Page(f"{task.name}: report", head, [], up).html()


def _error_row(task: Task) -> Json:
    """Return the row of the overview for such a task, without values."""
    empty = dict.fromkeys(("value", "baseline", "metric", "verdicts", "champion", "decided"))
    link = Cell(f'<a href="{escape(task.name)}.html">{escape(task.name)}</a>', task.name)
    verdict = Cell('<span class="bad">cannot be read</span>', "cannot be read")
    return {"task": link, "last verdict": verdict, **empty, "problem": task.problem, "about": task.title}


def _overview_row(workspace: Workspace, task: Task) -> Json:
    """Return the row of the overview for a task."""
    registry = Registry(workspace)
    champion, decisions = registry.champion(task.name), registry.decisions(task.name)
    last, metric = decisions[-1] if decisions else None, task.gate.metric
    value, baseline = _values(champion, last, metric)
    shown = champion.version if champion else last.version if last else ""
    stand_in = " (stand-in data)" if recorded_facts(decisions, shown).get("stand_in") else ""
    return {
        "task": Cell(f'<a href="{escape(task.name)}.html">{escape(task.name)}</a>', task.name),
        "last verdict": Cell(render_badge(last.verdict if last else None), last.verdict if last else ""),
        "value": value,
        "baseline": baseline,
        "metric": task.metric.title,
        "verdicts": verdict_sparkline(task, decisions),
        "champion": Cell(f"<code>{escape(champion.version)}</code>", champion.version) if champion else None,
        "decided": date_cell(last.time) if last else None,
        "problem": task.problem,
        "about": f"{task.title}{stand_in}",
    }


def _values(champion: Champion | None, last: Decision | None, metric: str) -> tuple[float | None, float | None]:
    """Return the metric of the champion and of the baseline; without a champion, those of the last decision."""
    decision = champion.decision if champion else last
    return (decision.metrics.get(metric), decision.baseline.get(metric)) if decision else (None, None)


def _overview_page(rows: list[Json]) -> str:
    """Return the overview of all tasks."""
    count = sum(row["champion"] is not None for row in rows)
    summary = f"{len(rows)} tasks, {count} with a champion. Dots are verdicts: promoted, held, rejected; up is better."
    head = f'<h1>Tiltyard</h1><p class="soft">{summary}</p>'
    field = '<input class="filter" type="search" data-of="all" placeholder="Filter tasks" aria-label="Filter tasks">'
    return Page("Tiltyard: report", head, [Section("Tasks", field + render_table(rows, "all"))]).html()
