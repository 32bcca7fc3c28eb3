"""Draft a task from data as `tiltyard init` does, train it and evaluate it, in a temporary project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import page
import raw_data
import yaml

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.evaluation import evaluate
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

NAME = "drafted"
Json = dict[str, Any]


def write_table(name: str, title: str, about: str, head: str, rows: Mapping[str, Callable[[], str]]) -> None:
    """Measure each row and write benchmarks/NAME.md; rows are kept in NAME.json: an interrupted script resumes."""
    kept = page.ROOT / "benchmarks" / f"{name.lower()}.json"
    measured: dict[str, str] = files.read_json(kept) if kept.is_file() else {}
    about = f"# {title}\n\n{_where(name)} {about}\n\n{head}\n{_rule(head)}\n"
    for row in ("", *rows):  # first without measuring: what is kept is written even if the rest takes hours
        if row and row not in measured:
            measured[row] = rows[row]()
            files.write_json(kept, measured)
        missing = [f"`{left}`" for left in rows if left not in measured]
        note = f"\nNot measured yet: {', '.join(missing)}.\n" if missing else ""
        lines = [measured[done] for done in rows if done in measured]
        files.write_text(page.ROOT / "benchmarks" / f"{name}.md", about + "\n".join(lines) + "\n" + note)


def _where(name: str) -> str:
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    return (
        f"Measured by `benchmarks/{name.lower()}.py` on {date}: {page.machine_with_load().removesuffix(' at the end')}."
    )


def _rule(head: str) -> str:
    return "|".join(["", "---", *["--:"] * (head.count("|") - 2), ""])


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
