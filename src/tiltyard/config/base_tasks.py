"""Base tasks for transfer learning: train a base before the tasks that start from it, and detect a stale base."""

from __future__ import annotations

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.modeling.inference.predictor import version
from tiltyard.workspace import Workspace


def in_training_order(workspace: Workspace, names: list[str]) -> list[str]:
    """Return the names in training order: each after its base, which is added if it is missing.

    An invalid task file raises an error only if it is the only one; otherwise it stays in the list.
    """
    line: list[str] = []
    for name in names:
        error = find_error(workspace, name)
        if error and len({*names}) == 1:
            raise error
        line += [name] if error else reversed(_base_chain(workspace, name))
    return list(dict.fromkeys(line))


def find_error(workspace: Workspace, name: str) -> TaskError | None:
    """Return the error in a task file or its base, or None; raise if no task has that name."""
    if error := loader.find_error(workspace, name):
        return error
    try:
        _base_chain(workspace, name)
    except TaskError as error:
        return error
    return None


def _base_chain(workspace: Workspace, name: str) -> list[str]:
    """Return a task, its base, the base of that, and so on, up to one whose file is invalid."""
    chain = [name]
    while not loader.find_error(workspace, chain[-1]):
        base = loader.load(workspace, chain[-1]).model.base_task
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
    """Return whether a task was trained from another version of its base, which DVC does not track."""
    record = workspace.out(task.name, "train") / "training.json"
    if not task.model.base_task or not record.is_file():
        return False
    base = workspace.out(task.model.base_task, "train")
    recorded_version: object = files.read_json(record).get("base", {}).get("version")
    return (base / "model.onnx").is_file() and recorded_version != version(base)


def is_stage_stale(workspace: Workspace, task: Task, stage: str) -> bool:
    """Return whether a stage must run although DVC would skip it: it uses the weights or the vocabulary of a base."""
    if stage not in ("prepare", "train"):
        return False
    return (stage == "train" or bool(task.model.vocabulary_task)) and is_stale(workspace, task)
