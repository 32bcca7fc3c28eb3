"""A study: train variants of a task with several seeds, and test which differ on validation rows."""

from __future__ import annotations

import shutil
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.experiments.fold_choice import choose
from tiltyard.experiments.seed_comparison import SeedComparison, interval
from tiltyard.experiments.study_markdown import to_markdown
from tiltyard.experiments.study_plan import Plan
from tiltyard.experiments.study_runs import StudyRun, plan_runs, read, train_missing
from tiltyard.experiments.trial import validation_rows
from tiltyard.workspace import Workspace

ROW_COUNTING_METRICS = {"accuracy", "balanced_accuracy", "macro_f1", "exact"}  # metrics that change by whole rows
Print = Callable[[str], None]


Group = list[tuple[StudyRun, dict[str, Any]]]  # runs of one variant, with their results


def study(workspace: Workspace, name: str, plan: Plan, jobs: int, report: Print) -> dict[str, Any]:
    """Train the missing runs; write study.json, study.md and plots to out/studies/NAME, and return the result."""
    from tiltyard.experiments import plots

    task, runs = loader.load(workspace, plan.task), plan_runs(workspace, plan)
    finished = sum(run.path(workspace, plan.task).is_file() for run in runs)
    if finished:
        report(f"{finished} of {len(runs)} trainings are finished already")
    for count, run in enumerate(train_missing(workspace, plan.task, runs, jobs), start=finished + 1):
        report(f"{count} of {len(runs)}: {_run_line(task, run, read(workspace, plan.task, run))}")
    result = _result(workspace, name, plan, runs)
    with files.atomic_folder(workspace.study(name)) as folder:
        files.write_json(folder / "study.json", result)
        files.write_text(folder / "study.md", to_markdown(result, "values.png", "curves.png"))
        plots.save(plots.variant_values(result["variants"], result["metric"]), folder / "values.png")
        plots.save(plots.loss_curves(result["variants"]), folder / "curves.png")
    return result


def copy(workspace: Workspace, result: dict[str, Any], folder: Path) -> None:
    """Copy the page and plots to a folder that can be committed."""
    name = result["study"]
    folder.mkdir(parents=True, exist_ok=True)
    for plot in ("values", "curves"):
        shutil.copy(workspace.study(name) / f"{plot}.png", folder / f"{name}-{plot}.png")
    files.write_text(folder / f"{name}.md", to_markdown(result, f"{name}-values.png", f"{name}-curves.png"))


def _run_line(task: Task, run: StudyRun, result: dict[str, Any]) -> str:
    outcome = result["trouble"] or f"{task.gate.metric} {result['value']:.4g}"
    return f"{run.title}: {outcome}, {result['seconds']:.0f} s"


def _result(workspace: Workspace, name: str, plan: Plan, runs: list[StudyRun]) -> dict[str, Any]:
    """Group runs by variant, and compare each variant with the first."""
    task = loader.load(workspace, plan.task)
    groups: dict[str, Group] = defaultdict(list)
    for run in runs:
        groups[run.variant.name].append((run, read(workspace, plan.task, run)))
    first, *_ = groups.values()
    validation_count = None if plan.folds else _validation_row_count(workspace, task, plan)
    variants = [
        {
            "name": variant,
            "changes": group[0][0].variant.changes,
            **_outcome(task, [result for _, result in group]),
            **({} if group is first else _compare(task, group, first, validation_count, plan.unit)),
        }
        for variant, group in groups.items()
    ]
    return {
        "study": name,
        "title": plan.title or name,
        "task": plan.task,
        "metric": task.gate.metric,
        "confidence": task.gate.confidence,
        **({} if validation_count is None else {"validation_rows": validation_count}),
        "plan": plan.model_dump(mode="json"),
        "variants": variants,
        **({"chosen": choose(variants, task.metric)} if plan.folds else {}),
    }


def _outcome(task: Task, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarize one variant over its seeds."""
    trained = [result for result in results if result["value"] is not None]
    values = [result["value"] for result in trained]
    return {
        "values": values,
        "mean": statistics.fmean(values) if values else None,
        "deviation": statistics.stdev(values) if len(values) > 1 else None,
        "interval": interval(values, task.gate.confidence),
        "epochs": statistics.fmean(result["best_epoch"] for result in trained) if trained else None,
        "seconds": statistics.fmean(result["seconds"] for result in results),
        "parameters": trained[0]["parameters"] if trained else None,
        "trouble": [result["trouble"] for result in results if result["trouble"]],
        "curves": [result["history"]["val_loss"] for result in trained],
    }


def _validation_row_count(workspace: Workspace, task: Task, plan: Plan) -> int:
    """Return the number of validation rows that each run was scored on."""
    rows = files.read_json(workspace.out(task.name, "prepare") / "split.json")["rows"]
    return validation_rows(rows["train"], rows["validation"], plan.rows)


def _compare(task: Task, group: Group, first: Group, rows: int | None, unit: str) -> dict[str, Any]:
    """Compare a variant with the first, seed by seed or fold by fold; only those that both have are used."""
    values, first_values = (
        {run.number: result["value"] for run, result in pairs if result["value"] is not None}
        for pairs in (group, first)
    )
    gains = [task.metric.gain(values[seed], first_values[seed]) for seed in values if seed in first_values]
    names = group[0][0].variant.name, first[0][0].variant.name
    comparison = SeedComparison(
        *names, gains, task.gate.confidence, rows if task.gate.metric in ROW_COUNTING_METRICS else None, unit
    )
    return {"gains": gains, "gain_interval": comparison.interval, "sentence": comparison.sentence}
