"""The verb study: train variants of a task with several seeds, and say which differ on validation rows beyond luck."""

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
from tiltyard.experiments.seed_comparison import SeedComparison, interval
from tiltyard.experiments.study_markdown import page
from tiltyard.experiments.study_plan import Plan
from tiltyard.experiments.study_runs import StudyRun, cells, read, train
from tiltyard.experiments.trial import validation_rows
from tiltyard.workspace import Workspace

Group = list[tuple[StudyRun, dict[str, Any]]]  # the cells of one variant, with what became of them
COUNTED = {"accuracy", "balanced_accuracy", "macro_f1", "exact"}  # metrics that move by whole rows
Say = Callable[[str], None]


def study(workspace: Workspace, name: str, plan: Plan, jobs: int, say: Say) -> dict[str, Any]:
    """Train what is missing; leave study.json, study.md and pictures in out/studies/NAME, and give the result."""
    from tiltyard.experiments import matplotlib_figures, plots

    task, wanted = loader.load(workspace, plan.task), cells(workspace, plan)
    there = sum(cell.path(workspace, plan.task).is_file() for cell in wanted)
    if there:
        say(f"{there} of {len(wanted)} trainings are there already")
    for count, cell in enumerate(train(workspace, plan.task, wanted, jobs), start=there + 1):
        say(f"{count} of {len(wanted)}: {_line(task, cell, read(workspace, plan.task, cell))}")
    result = _result(workspace, name, plan, wanted)
    with files.replacing_folder(workspace.study(name)) as folder:
        files.write_json(folder / "study.json", result)
        files.write_text(folder / "study.md", page(result, "values.png", "curves.png"))
        matplotlib_figures.save(plots.values(result["variants"], result["metric"]), folder / "values.png")
        matplotlib_figures.save(plots.curves(result["variants"]), folder / "curves.png")
    return result


def copy(workspace: Workspace, result: dict[str, Any], folder: Path) -> None:
    """Put table and pictures where they can be committed."""
    name = result["study"]
    folder.mkdir(parents=True, exist_ok=True)
    for picture in ("values", "curves"):
        shutil.copy(workspace.study(name) / f"{picture}.png", folder / f"{name}-{picture}.png")
    files.write_text(folder / f"{name}.md", page(result, f"{name}-values.png", f"{name}-curves.png"))


def _line(task: Task, cell: StudyRun, found: dict[str, Any]) -> str:
    told = found["trouble"] or f"{task.gate.metric} {found['value']:.4g}"
    return f"{cell.variant.name}, seed {cell.seed}: {told}, {found['seconds']:.0f} s"


def _result(workspace: Workspace, name: str, plan: Plan, wanted: list[StudyRun]) -> dict[str, Any]:
    """Put the cells of each variant together, and hold each variant against the first."""
    task = loader.load(workspace, plan.task)
    groups: dict[str, Group] = defaultdict(list)
    for cell in wanted:
        groups[cell.variant.name].append((cell, read(workspace, plan.task, cell)))
    first, *_ = groups.values()
    judged = _judged(workspace, task, plan)
    variants = [
        {
            "name": variant,
            "changes": group[0][0].variant.changes,
            **_outcome(task, [found for _, found in group]),
            **({} if group is first else _contrast(task, group, first, judged)),
        }
        for variant, group in groups.items()
    ]
    return {
        "study": name,
        "title": plan.title or name,
        "task": plan.task,
        "metric": task.gate.metric,
        "confidence": task.gate.confidence,
        "validation_rows": judged,
        "plan": plan.model_dump(mode="json"),
        "variants": variants,
    }


def _outcome(task: Task, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what became of one variant over its seeds."""
    good = [one for one in found if one["value"] is not None]
    values = [one["value"] for one in good]
    return {
        "values": values,
        "mean": statistics.fmean(values) if values else None,
        "interval": interval(values, task.gate.confidence),
        "epochs": statistics.fmean(one["best_epoch"] for one in good) if good else None,
        "seconds": statistics.fmean(one["seconds"] for one in found),
        "parameters": good[0]["parameters"] if good else None,
        "trouble": [one["trouble"] for one in found if one["trouble"]],
        "curves": [one["history"]["val_loss"] for one in good],
    }


def _judged(workspace: Workspace, task: Task, plan: Plan) -> int:
    """Return how many validation rows each training was judged on."""
    rows = files.read_json(workspace.out(task.name, "prepare") / "split.json")["rows"]
    return validation_rows(rows["train"], rows["validation"], plan.rows)


def _contrast(task: Task, group: Group, first: Group, rows: int) -> dict[str, Any]:
    """Compare a variant with the first, seed by seed; what one of them lacks is left out."""
    mine, others = (
        {cell.seed: found["value"] for cell, found in some if found["value"] is not None} for some in (group, first)
    )
    gains = [task.metric.gain(mine[seed], others[seed]) for seed in mine if seed in others]
    names = group[0][0].variant.name, first[0][0].variant.name
    found = SeedComparison(*names, gains, task.gate.confidence, rows if task.gate.metric in COUNTED else None)
    return {"gains": gains, "gain_interval": found.interval, "sentence": found.sentence}
