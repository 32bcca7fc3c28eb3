"""The parts of a blend, each alone: the network before it is averaged, and the best reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.references import base
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

MAX_VALIDATION = 5_000


@contextmanager
def keeping_network() -> Iterator[list[Any]]:
    """Yield a list to which a training adds its network, before that is averaged with references."""
    from tiltyard.training import blend

    networks, original = list[Any](), blend.blend

    def keep(task: Task, parts: TrainingRows, body: Any, record: dict[str, Any]) -> Any:
        networks.append(body)
        return original(task, parts, body, record)

    blend.blend = keep
    try:
        yield networks
    finally:
        blend.blend = original


def network_outputs(space: Workspace, task: Task, body: Any, features: Array) -> Array:
    """Return the outputs of the network alone."""
    from tiltyard.training import network

    rows = TrainingRows.load(space.out(task.name, "prepare"))
    return network.outputs(network.build_inference(task.model, body, rows.encoder), features)


def best_reference(space: Workspace, task: Task) -> base.FittedReference:
    """Return the reference with the least loss on validation rows."""
    rows = TrainingRows.load(space.out(task.name, "prepare"))
    subject, later, truth = task.reference_subject(rows.encoder), *(p[:MAX_VALIDATION] for p in rows.validation)
    fitted = base.best(subject, rows.train, lambda reference: subject.loss(truth, np.asarray(reference.scores(later))))
    if fitted is None:
        raise RuntimeError(f"{task.name}: expected a reference that takes such features")
    return fitted
