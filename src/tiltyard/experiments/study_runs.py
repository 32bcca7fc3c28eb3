"""The runs of a study: one variant with one seed, trained once and stored; workers claim runs by locks."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.experiments import workers
from tiltyard.experiments.study_plan import Plan, Variant
from tiltyard.experiments.trial import train_and_score
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import backend
from tiltyard.training.fit import RunPaths
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class StudyRun:
    """One training with a seed or on a fold, identified by a hash of everything that determines its result."""

    variant: Variant
    seed: int
    key: str
    rows: int | None
    fold: int | None = None  # from 0

    @property
    def number(self) -> int:
        """The number by which runs of two variants are compared: fold or seed."""
        return self.seed if self.fold is None else self.fold

    @property
    def title(self) -> str:
        """The variant, and its seed or fold."""
        place = f"seed {self.seed}" if self.fold is None else f"fold {self.fold + 1}"
        return f"{self.variant.name}, {place}"

    def task(self, workspace: Workspace, name: str) -> Task:
        """Return the task with the run's changes and seed."""
        task = loader.load_with(workspace, name, self.variant.changes)
        return task.model_copy(update={"train": task.train.model_copy(update={"seed": self.seed})})

    def path(self, workspace: Workspace, name: str) -> Path:
        """The file of the run's result."""
        return workspace.cells(name) / f"{self.key}.json"


def plan_runs(workspace: Workspace, plan: Plan) -> list[StudyRun]:
    """Return the runs seed by seed, or fold by fold, so that a stopped study has equally many of each variant."""
    base = loader.load(workspace, plan.task)
    digest = TrainingRows.load(workspace.out(plan.task, "prepare")).digest
    variants = [_folded(variant, plan.folds) for variant in plan.all_variants()]
    tasks = [(variant, loader.load_with(workspace, plan.task, variant.changes)) for variant in variants]
    first, rows = base.train.seed, f"{digest} {plan.rows}"
    if plan.folds:
        return [
            StudyRun(variant, first, _key(task, first, f"{rows} fold {fold}"), plan.rows, fold)
            for fold in range(plan.folds)
            for variant, task in tasks
        ]
    return [
        StudyRun(variant, seed, _key(task, seed, rows), plan.rows)
        for seed in range(first, first + plan.repeat)
        for variant, task in tasks
    ]


def _folded(variant: Variant, folds: int | None) -> Variant:
    """Return a variant whose task has so many folds."""
    return Variant(variant.name, {**variant.changes, "train.folds": folds}) if folds else variant


def _key(task: Task, seed: int, rows: str) -> str:
    sections = task.model_dump(mode="json", include={"model", "train", "ensemble", "target"})
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
            paths = RunPaths(state, state, run.title)
            result = train_and_score(workspace, run.task(workspace, name), paths, run.rows, run.fold)
            files.write_json(path, {"changes": run.variant.changes, "seed": run.seed, **result.to_json()})
            shutil.rmtree(state, ignore_errors=True)
        if claimed:
            lock.unlink()
        return missing


def read(workspace: Workspace, name: str, run: StudyRun) -> dict[str, Any]:
    """Return the result of a run."""
    result: dict[str, Any] = files.read_json(run.path(workspace, name))
    return result
