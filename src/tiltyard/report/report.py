"""The HTML report (`tiltyard report`): a page for each task and an overview, readable without a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.evaluation.evaluated import Evaluated, read_evaluated
from tiltyard.files import Json
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.preparation.array_file import read_truth
from tiltyard.registry.decision import TRAFFIC_VERDICTS, Decision
from tiltyard.registry.registry import Champion, Registry
from tiltyard.report.html_elements import Section, render_facts, render_figures
from tiltyard.report.overview import overview_page, read_summary
from tiltyard.report.page import Page, Tab
from tiltyard.report.sections.clusters import clusters_section
from tiltyard.report.sections.data import data_section
from tiltyard.report.sections.distributions import distribution_figures, drift_records, drift_section, live_rows
from tiltyard.report.sections.explanations import explanations_section
from tiltyard.report.sections.history import history_section
from tiltyard.report.sections.input_space import input_space_figures
from tiltyard.report.sections.lineage import lineage_section, provenance_section
from tiltyard.report.sections.metrics import metrics_section, summary
from tiltyard.report.sections.network import network_section
from tiltyard.report.sections.pictures import picture_figures
from tiltyard.report.sections.predictions import error_sections, prediction_sections
from tiltyard.report.sections.recommendation import recommendation_section
from tiltyard.report.sections.rows import LearnedRows
from tiltyard.report.sections.samples import samples_section
from tiltyard.report.sections.series import rollout_section, series_figures, walk_forward_section
from tiltyard.report.sections.settings import settings_section
from tiltyard.report.sections.training import training_sections
from tiltyard.report.sections.verdict import comparison_section, verdict_section
from tiltyard.report.sections.versions import versions_section
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
    folder = into or workspace.report
    for task in tasks:
        print_progress(f"{task.name}: writing its page")
        try:
            written = task_page(workspace, task)
        except RegistryError as error:  # the pages of other tasks are still written
            print_progress(f"{task.name}: {error.message}; {error.hint}")
            written = _error_page(task, error)
        files.write_text(folder / f"{task.name}.html", written)
    files.write_text(folder / INDEX, overview_page(workspace, [read_summary(workspace, task) for task in tasks]))
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
    evaluation = evaluated.report
    training = files.read_json(evaluated.train / "training.json")
    predictions = Predictions.load(out / "predictions.npz", task.labels, task.target.display_name)
    judged = [
        decision
        for decision in decisions
        if decision.version == evaluation["version"] and decision.verdict not in TRAFFIC_VERDICTS
    ]
    last = judged[-1] if judged else None
    head = summary(task, evaluation, last.verdict if last else "none yet", last.reasons if last else ())
    page = _TaskPage(workspace, task, evaluated, predictions, training, champion, decisions, last)
    return Page(f"{task.name}: report", head, page.tabs(), up).html()


@dataclass(frozen=True)
class _TaskPage:
    """What the page of a task is made of."""

    workspace: Workspace
    task: Task
    evaluated: Evaluated
    predictions: Predictions
    training: Json
    champion: Champion | None
    decisions: list[Decision]
    last: Decision | None  # about this version

    def tabs(self) -> list[Tab]:
        """Return the tabs; sections and tabs without data are left out."""
        task, evaluation = self.task, self.evaluated.report
        return [
            Tab(
                "Verdict",
                [
                    verdict_section(self.last),
                    comparison_section(task, evaluation["version"], self.champion, self.decisions),
                ],
            ),
            Tab("Performance", self._performance()),
            Tab("Errors", self._errors()),
            Tab("Explanations", [explanations_section(self.workspace, task, evaluation["version"])]),
            Tab("Training", self._training()),
            Tab("Data and drift", self._data()),
            Tab(
                "History",
                [history_section(self.workspace, task, self.decisions), versions_section(task, self.decisions)],
            ),
        ]

    def _performance(self) -> list[Section]:
        task, evaluated, predictions = self.task, self.evaluated, self.predictions
        evaluation, out = evaluated.report, self.workspace.out(task.name, "evaluate")
        figures = [*input_space_figures(task, evaluated, predictions), *picture_figures(task, evaluated, predictions)]
        return [
            metrics_section(task, evaluation),
            *prediction_sections(task, evaluation, predictions, figures),
            recommendation_section(task, evaluated, self.workspace.out(task.name, "prepare")),
            samples_section(evaluation, out),
            walk_forward_section(task, evaluation, out),
            rollout_section(task, evaluation, out),
            clusters_section(task, evaluation),
        ]

    def _errors(self) -> list[Section]:
        context = with_threshold(self._context(), self.predictions.threshold)
        rows = self.evaluated.test.rows
        return error_sections(self.task, self.evaluated.report, self.predictions, rows, context)

    def _context(self) -> Context:
        """Return what metrics of slices need from the training targets."""
        if not self.evaluated.report.get("slices"):
            return {}
        return self.task.evaluator.context(read_truth(self.workspace.out(self.task.name, "prepare") / "train.npz"))

    def _training(self) -> list[Section]:
        task, evaluation = self.task, self.evaluated.report
        return [
            *training_sections(task, evaluation, self.training),
            network_section(self.evaluated.train),
            settings_section(task, self.training, self.evaluated.train, self.last),
            lineage_section(self.workspace, task, evaluation, self.training, self.champion),
            provenance_section(evaluation, self.training),
        ]

    def _data(self) -> list[Section]:
        task, workspace, test = self.task, self.workspace, self.evaluated.test.rows
        prepared = workspace.out(task.name, "prepare")
        learned = LearnedRows(task, prepared, self.predictions.truth)
        figures = [*series_figures(task, prepared, self.predictions), *learned.figures()]
        drawn = distribution_figures(task, learned.numbers, test, live_rows(workspace, task))
        return [
            Section("Data", render_figures(figures)),
            Section("Distributions", render_figures(drawn)),
            drift_section(*drift_records(workspace, task, self.champion)),
            data_section(workspace, task),
        ]


def _page_without_metrics(workspace: Workspace, task: Task, decisions: list[Decision], text: str, up: str) -> str:
    """Return a page of what the registry and validation hold, if there are no metrics, as in a fresh clone."""
    reason = f"<p>{escape(text)}: <code>tiltyard run {escape(task.name)}</code></p>"
    head = f"<h1>{escape(task.title)}</h1>{render_facts({'task': task.name, 'problem': task.problem})}{reason}"
    sections = [
        history_section(workspace, task, decisions),
        data_section(workspace, task),
    ]
    return Page(f"{task.name}: report", head, [Tab("Report", sections)], up).html()


def _error_page(task: Task, error: RegistryError, up: str = INDEX) -> str:
    """Return a page that says why a task's registry cannot be read, and what to do."""
    reason = f'<p class="bad">{escape(error.message)}</p><p>{escape(error.hint)}</p>'
    head = f"<h1>{escape(task.title)}</h1>{render_facts({'task': task.name, 'problem': task.problem})}{reason}"
    return Page(f"{task.name}: report", head, [], up).html()
