"""Bases: tasks whose training another takes up. They go before it, and their news makes its own training stale."""

from __future__ import annotations

from tiltyard import files, task_file
from tiltyard.errors import TaskError
from tiltyard.predictor import version
from tiltyard.task import Task
from tiltyard.workspace import Workspace


def led(workspace: Workspace, names: list[str]) -> list[str]:
    """Return the names, each behind its base, which is put in where it is missing.

    A file that cannot be meant does not hold the others up, unless it is the only one.
    """
    line: list[str] = []
    for name in names:
        error = task_file.mistake(workspace, name)
        if error and len({*names}) == 1:
            raise error
        if not error:
            _lead(workspace, name, line, ())
        elif name not in line:
            line.append(name)
    return line


def _lead(workspace: Workspace, name: str, line: list[str], behind: tuple[str, ...]) -> None:
    if name in behind:
        raise TaskError(
            f"model.base: expected the training of another task; {' is based on '.join([*behind, name])}",
            hint=f"name another base in tasks/{name}.yaml",
        )
    base = "" if behind and task_file.mistake(workspace, name) else task_file.load(workspace, name).model.taken_up
    if base:
        _lead(workspace, base, line, (*behind, name))
    if name not in line:
        line.append(name)


def stale(workspace: Workspace, task: Task) -> bool:
    """Say whether a task was trained on another version of its base: DVC knows files of the task alone."""
    record = workspace.out(task.name, "train") / "training.json"
    if not task.model.taken_up or not record.is_file():
        return False
    base = workspace.out(task.model.taken_up, "train")
    known: object = files.read_json(record).get("base", {}).get("version")
    return (base / "model.onnx").is_file() and known != version(base)
