"""The cells of a study: a variant with one seed, trained once and kept; a claim says who is at it."""

from __future__ import annotations

import hashlib
import json
import os
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
from tiltyard.experiments.trial import attempt
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.fit import RunPaths
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class StudyRun:
    """One training, named by all that decides its outcome."""

    variant: Variant
    seed: int
    key: str
    rows: int | None

    def task(self, workspace: Workspace, name: str) -> Task:
        """Return the task as it is trained here."""
        task = loader.load_with(workspace, name, self.variant.changes)
        return task.model_copy(update={"train": task.train.model_copy(update={"seed": self.seed})})

    def path(self, workspace: Workspace, name: str) -> Path:
        """Where its outcome is kept."""
        return workspace.cells(name) / f"{self.key}.json"


def cells(workspace: Workspace, plan: Plan) -> list[StudyRun]:
    """Return the cells seed by seed, so that a study that is stopped has all variants equally often."""
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
    tools = version("keras"), os.environ.get("KERAS_BACKEND", "tensorflow")
    content = json.dumps([sections, seed, rows, task.gate.metric, tools], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def train(workspace: Workspace, name: str, wanted: list[StudyRun], jobs: int) -> Iterator[StudyRun]:
    """Train what is missing in so many processes, and give each cell as soon as it is there."""
    missing = [cell for cell in wanted if not cell.path(workspace, name).is_file()]
    if not missing:
        return
    for _ in workers.work(workspace.cells(name), min(jobs, len(missing)), work, str(workspace.root), name, missing):
        for cell in [cell for cell in missing if cell.path(workspace, name).is_file()]:
            missing.remove(cell)
            yield cell


def work(root: str, name: str, wanted: list[StudyRun]) -> None:
    """Be a worker: train what nobody else is at, until all is there."""
    workspace = Workspace(Path(root))
    while missing := [cell for cell in wanted if not cell.path(workspace, name).is_file()]:
        if not sum(_claim(workspace, name, cell) for cell in missing):
            time.sleep(workers.PAUSE)  # others are at the last ones; should they die, these are ours


def _claim(workspace: Workspace, name: str, cell: StudyRun) -> bool:
    """Train a cell that is neither there nor claimed; say whether it was."""
    path = cell.path(workspace, name)
    lock, state = path.with_suffix(".lock"), path.with_suffix("")
    with files.claimed(lock) as mine:
        if missing := mine and not path.is_file():
            title = f"{cell.variant.name}, seed {cell.seed}"
            found = attempt(workspace, cell.task(workspace, name), RunPaths(state, state, title), cell.rows)
            files.write_json(path, {"changes": cell.variant.changes, "seed": cell.seed, **found.to_json()})
            shutil.rmtree(state, ignore_errors=True)
        if mine:
            lock.unlink()
        return missing


def read(workspace: Workspace, name: str, cell: StudyRun) -> dict[str, Any]:
    """Return what became of a cell."""
    found: dict[str, Any] = files.read_json(cell.path(workspace, name))
    return found
