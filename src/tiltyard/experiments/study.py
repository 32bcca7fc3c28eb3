"""A study: train variants of a task with several seeds, each run once and stored, and test which differ."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.experiments import workers
from tiltyard.experiments.seed_comparison import SeedComparison, interval
from tiltyard.experiments.study_markdown import to_markdown
from tiltyard.experiments.study_plan import Plan, Variant
from tiltyard.experiments.trial import train_and_score, validation_rows
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import backend
from tiltyard.training.fit import RunPaths
from tiltyard.workspace import Workspace

ROW_COUNTING_METRICS = {"accuracy", "balanced_accuracy", "macro_f1", "exact"}  # metrics that change by whole rows
Print = Callable[[str], None]


@dataclass(frozen=True)
class StudyRun:
    """One training, identified by a hash of everything that determines its result."""

    variant: Variant
    seed: int
    key: str
    rows: int | None

    def task(self, workspace: Workspace, name: str) -> Task:
        """Return the task with the run's changes and seed."""
        task = loader.load_with(workspace, name, self.variant.changes)
        return task.model_copy(update={"train": task.train.model_copy(update={"seed": self.seed})})

    def path(self, workspace: Workspace, name: str) -> Path:
        """The file of the run's result."""
        return workspace.cells(name) / f"{self.key}.json"


def plan_runs(workspace: Workspace, plan: Plan) -> list[StudyRun]:
    """Return the runs seed by seed, so that a study that is stopped has equally many of each variant."""
    base = loader.load(workspace, plan.task)
    digest = TrainingRows.load(workspace.out(plan.task, "prepare")).digest
    variants = [(variant, loader.load_with(workspace, plan.task, variant.changes)) for variant in plan.all_variants()]
    return [
        StudyRun(variant, seed, _key(task, seed, f"{digest} {plan.rows}"), plan.rows)
        for seed in range(base.train.seed, base.train.seed + plan.repeat)
        for variant, task in variants
    ]


def _key(task: Task, seed: int, rows: str) -> str:
    sections = task.model_dump(mode="json", include={"model", "train", "target"})
    libraries = version("keras"), backend.chosen(task)
    content = json.dumps([sections, seed, rows, task.gate.metric, libraries], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def train_missing(workspace: Workspace, name: str, runs: list[StudyRun], jobs: int) -> Iterator[StudyRun]:
    """Train missing runs in parallel; yield each run when it is finished."""
    missing = [run for run in runs if not run.path(workspace, name).is_file()]
    if not missing:
        return
    for _ in workers.run_workers(
        workspace.cells(name), min(jobs, len(missing)), run_worker, str(workspace.root), name, missing
    ):
        for run in [run for run in missing if run.path(workspace, name).is_file()]:
            missing.remove(run)
            yield run


def run_worker(root: str, name: str, runs: list[StudyRun]) -> None:
    """Train runs that no other worker has claimed, until all are finished."""
    workspace = Workspace(Path(root))
    while missing := [run for run in runs if not run.path(workspace, name).is_file()]:
        if not sum(_train_if_free(workspace, name, run) for run in missing):
            time.sleep(workers.POLL_SECONDS)  # other workers train the last runs; if they die, this worker trains them


def _train_if_free(workspace: Workspace, name: str, run: StudyRun) -> bool:
    """Train a run that is neither finished nor claimed; return whether it was."""
    path = run.path(workspace, name)
    lock, state = path.with_suffix(".lock"), path.with_suffix("")
    with files.claimed(lock) as claimed:
        if missing := claimed and not path.is_file():
            title = f"{run.variant.name}, seed {run.seed}"
            result = train_and_score(workspace, run.task(workspace, name), RunPaths(state, state, title), run.rows)
            files.write_json(path, {"changes": run.variant.changes, "seed": run.seed, **result.to_json()})
            shutil.rmtree(state, ignore_errors=True)
        if claimed:
            lock.unlink()
        return missing


def read(workspace: Workspace, name: str, run: StudyRun) -> dict[str, Any]:
    """Return the result of a run."""
    result: dict[str, Any] = files.read_json(run.path(workspace, name))
    return result


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
    return f"{run.variant.name}, seed {run.seed}: {outcome}, {result['seconds']:.0f} s"


def _result(workspace: Workspace, name: str, plan: Plan, runs: list[StudyRun]) -> dict[str, Any]:
    """Group runs by variant, and compare each variant with the first."""
    task = loader.load(workspace, plan.task)
    groups: dict[str, Group] = defaultdict(list)
    for run in runs:
        groups[run.variant.name].append((run, read(workspace, plan.task, run)))
    first, *_ = groups.values()
    validation_count = _validation_row_count(workspace, task, plan)
    variants = [
        {
            "name": variant,
            "changes": group[0][0].variant.changes,
            **_outcome(task, [result for _, result in group]),
            **({} if group is first else _compare(task, group, first, validation_count)),
        }
        for variant, group in groups.items()
    ]
    return {
        "study": name,
        "title": plan.title or name,
        "task": plan.task,
        "metric": task.gate.metric,
        "confidence": task.gate.confidence,
        "validation_rows": validation_count,
        "plan": plan.model_dump(mode="json"),
        "variants": variants,
    }


def _outcome(task: Task, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarize one variant over its seeds."""
    trained = [result for result in results if result["value"] is not None]
    values = [result["value"] for result in trained]
    return {
        "values": values,
        "mean": statistics.fmean(values) if values else None,
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


def _compare(task: Task, group: Group, first: Group, rows: int) -> dict[str, Any]:
    """Compare a variant with the first, seed by seed; only seeds that both have are used."""
    values, first_values = (
        {run.seed: result["value"] for run, result in pairs if result["value"] is not None} for pairs in (group, first)
    )
    gains = [task.metric.gain(values[seed], first_values[seed]) for seed in values if seed in first_values]
    names = group[0][0].variant.name, first[0][0].variant.name
    comparison = SeedComparison(
        *names, gains, task.gate.confidence, rows if task.gate.metric in ROW_COUNTING_METRICS else None
    )
    return {"gains": gains, "gain_interval": comparison.interval, "sentence": comparison.sentence}
