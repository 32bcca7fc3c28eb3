"""Bases: tasks whose training another takes up. They go before it, and their news makes its own training stale."""

from __future__ import annotations

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.modeling.inference.predictor import version
from tiltyard.workspace import Workspace


def ordered(workspace: Workspace, names: list[str]) -> list[str]:
    """Return the names, each behind its base, which is put in where it is missing.

    A file that cannot be meant does not hold the others up, unless it is the only one.
    """
    line: list[str] = []
    for name in names:
        error = mistake(workspace, name)
        if error and len({*names}) == 1:
            raise error
        line += [name] if error else reversed(_bases(workspace, name))
    return list(dict.fromkeys(line))


def mistake(workspace: Workspace, name: str) -> TaskError | None:
    """Return what is wrong with the file of a task or with what it is based on; an unknown name is raised."""
    if error := loader.mistake(workspace, name):
        return error
    try:
        _bases(workspace, name)
    except TaskError as error:
        return error
    return None


def _bases(workspace: Workspace, name: str) -> list[str]:
    """Return a task, its base, the base of that, and so on, up to one whose file cannot be meant."""
    chain = [name]
    while not loader.mistake(workspace, chain[-1]):
        base = loader.load(workspace, chain[-1]).model.taken_up
        if not base:
            break
        if base in chain:
            raise TaskError(
                f"model.base: expected the training of another task; {' is based on '.join([*chain, base])}",
                hint=f"name another base in tasks/{base}.yaml",
            )
        chain.append(base)
    return chain


def is_stale(workspace: Workspace, task: Task) -> bool:
    """Return whether a task was trained on another version of its base: DVC knows files of the task alone."""
    record = workspace.out(task.name, "train") / "training.json"
    if not task.model.taken_up or not record.is_file():
        return False
    base = workspace.out(task.model.taken_up, "train")
    known: object = files.read_json(record).get("base", {}).get("version")
    return (base / "model.onnx").is_file() and known != version(base)
