"""A Keras model that was trained outside: sent through export, evaluation, gate and packaging like any challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task as TaskFile
from tiltyard.gate.verdict import Verdict
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.api.task import Task


class TrainingRows(NamedTuple):
    """Features and truth of training and of validation rows, as `prepare` encoded them; never a test row."""

    train: tuple[Array, Array]
    validation: tuple[Array, Array]
    labels: list[str]


def training_rows(workspace: Workspace, task: TaskFile) -> TrainingRows:
    """Return the rows that a model may be trained with."""
    from tiltyard.preparation.training_rows import TrainingRows as Rows

    rows = Rows.load(workspace.out(task.name, "prepare"))
    parts = [(np.asarray(features[:], dtype=np.float32), truth) for features, truth in (rows.train, rows.validation)]
    return TrainingRows(parts[0], parts[1], task.labels)


def from_keras(model: Any, task: Task, *, override: str | None = None) -> Verdict:
    """Judge a Keras model that you trained: it reads the features of `task.training_rows()`, not standardised.

    It returns probabilities of the labels, or numbers in the unit of the target. The gate holds it, because nobody here
    knows whether it has seen the sealed test rows. If you know that it has not, say so: the reason in `override` is
    recorded with your name, and the model is promoted if nothing else holds it. An untrained model is judged as it is;
    the record says that its optimizer has made no step.
    """
    from tiltyard.evaluation.evaluate import evaluate
    from tiltyard.gate.promote import promote
    from tiltyard.training.outside import take

    settings = task.settings
    with task_lock(task.workspace, task.name):
        take(task.workspace, settings, model)
        evaluate(task.workspace, settings)
        return promote(task.workspace, settings, override=override)
