"""The stage `resolve`: write the sections of a task file that each stage needs, with defaults, to one JSON file each.

DVC tracks these files instead of the task file: it would write the keys of a task file into dvc.lock, could not read
back long names of columns, and would not notice a changed default.
"""

from __future__ import annotations

import json
from pathlib import Path

from tiltyard import files
from tiltyard.config import safe_yaml
from tiltyard.config.task import Task
from tiltyard.workspace import Workspace

# the sections that a stage reads; it does not run again when others change
SECTIONS: dict[str, set[str]] = {
    "validate": {"problem", "source", "joins", "rows", "columns", "target", "expect"},
    "prepare": {"problem", "source", "joins", "columns", "derived", "target", "split", "serve"},
    "train": {"problem", "columns", "target", "model", "train", "ensemble"},
    "evaluate": {"title", "problem", "columns", "target", "split", "evaluate", "gate"},
}
WALK_FORWARD = {"model", "train"}  # the stage evaluate trains networks for it
VOCABULARY = {"model"}  # the stage prepare encodes texts with the vocabulary of the model's base, if it has one


def resolve(workspace: Workspace, task: Task) -> list[str]:
    """Write one file for each stage; return their names."""
    _unfold(workspace.task_file(task.name))
    with files.atomic_folder(workspace.out(task.name, "config")) as folder:
        for verb, sections in SECTIONS.items():
            content = task.model_dump(mode="json", include=sections | _further_sections(task, verb))
            files.write_text(folder / f"{verb}.json", json.dumps(content, indent=1) + "\n")
    return [f"{verb}.json" for verb in SECTIONS]


def _further_sections(task: Task, verb: str) -> set[str]:
    """Return the sections that a stage reads of this task, but not of most tasks."""
    if verb == "evaluate" and task.evaluate.walk_forward:
        return WALK_FORWARD
    return VOCABULARY if verb == "prepare" and task.model.vocabulary_task else set()


def _unfold(path: Path) -> None:
    """Repair a task file that `dvc exp run -S` has rewritten: DVC folds long keys and cannot read them back."""
    text = path.read_text(encoding="utf-8")
    if (repaired := safe_yaml.unfold(text)) != text:
        files.write_text(path, repaired)
