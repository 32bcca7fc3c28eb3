"""The vocabulary of a base task in transfer learning: a text is encoded with the ids that the base has learned."""

from __future__ import annotations

from dataclasses import replace

from tiltyard.config.task import Task
from tiltyard.errors import DataError, TrainingError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.workspace import Workspace

OWN = {"masked", "missing"}  # settings of a text column that change no id


def adopted(workspace: Workspace, task: Task, encoder: Encoder) -> Encoder:
    """Return the encoder with the vocabulary of the base, if the model uses it; refuse a base that reads otherwise."""
    base = task.model.vocabulary_task
    if not base:
        return encoder
    path = workspace.out(base, "train") / "encoder.json"
    if not path.is_file():
        raise DataError(
            f"model.base: expected a trained task, whose vocabulary is used; {base} has no model",
            hint=f"train it: tiltyard run {base}",
        )
    ((name, column),) = encoder.columns.items()
    known = Encoder.load(path)
    ((base_name, base_column),) = known.columns.items()
    if _settings(column) != _settings(base_column):
        raise DataError(
            f"columns.{name}: expected the settings of {base_name} in {base}, {_settings(base_column)}; "
            f"received {_settings(column)}",
            hint=f"set the same vocabulary, length, keep and lower as in tasks/{base}.yaml",
        )
    return replace(encoder, fitted={name: known.fitted[base_name]})


def check(workspace: Workspace, task: Task, encoder: Encoder) -> None:
    """Refuse rows that were encoded with another vocabulary than that of the base."""
    if adopted(workspace, task, encoder).fitted != encoder.fitted:
        raise TrainingError(
            f"model.base: expected rows with the vocabulary of {task.model.vocabulary_task}, which has changed since "
            f"the rows of {task.name} were prepared",
            hint=f"prepare them again: tiltyard prepare {task.name}",
        )


def _settings(column: Column) -> dict[str, object]:
    return column.model_dump(exclude=OWN)
