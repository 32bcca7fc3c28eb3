"""Draft a task from data as `tiltyard init` does, train it and evaluate it, in a temporary project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import raw_data
import yaml

from tiltyard import environment, files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.draft.draft import DraftRequest, draft_task
from tiltyard.evaluation import evaluate
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.training import train
from tiltyard.workspace import Workspace

NAME = "drafted"
Json = dict[str, Any]


def project(folder: Path) -> Workspace:
    """Return an empty project."""
    space = Workspace(folder)
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "params.yaml", "tasks: []\n")
    environment.configure_tools(space)
    return space


def draft(space: Workspace, request: DraftRequest, changes: Json) -> None:
    """Draft the task, and replace sections."""
    draft_task(space, NAME, request, force=True)
    path = space.task_file(NAME)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        content[key] = {**content[key], **value} if key == "train" else value
    files.write_text(path, yaml.safe_dump(content, sort_keys=False))


def measure(space: Workspace, changes: Json | None = None) -> tuple[str, float]:
    """Train the drafted task with other sections; return the family and the accuracy on the sealed rows."""
    path = space.task_file(NAME)
    original = path.read_text(encoding="utf-8")
    content = {**yaml.safe_load(original), **(changes or {})}
    files.write_text(path, yaml.safe_dump(content, sort_keys=False))
    task = loader.load(space, NAME)
    raw_data.fetch(space, task)
    prepare.prepare(space, task, reseal=True)
    train.train(space, task)
    report = evaluate.evaluate(space, task)
    files.write_text(path, original)
    return task.model.family, float(report["metrics"]["accuracy"])


def sealed_numbers(space: Workspace) -> Array:
    """Return the places of the sealed rows in the raw data."""
    task = loader.load(space, NAME)
    return np.asarray(read_test(space, NAME, task.columns).number)
