"""The reference: the best of the models that a user could have picked, to compare the network with."""

from __future__ import annotations

from dataclasses import dataclass

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.inference import decision_threshold
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK, Threshold
from tiltyard.modeling.references import base

MAX_VALIDATION = 5_000  # rows by which the best is chosen


@dataclass(frozen=True)
class Reference:
    """The name of the reference, its outputs for the sealed test rows, and the rows that it was fitted to, in words."""

    name: str
    outputs: Array
    fitted_to: str
    threshold: Threshold | None = None  # by which it decides on labels, chosen as for a network


def fit_reference(
    task: Task, encoder: Encoder, parts: tuple[base.Part, base.Part], features: base.Features, context: Context
) -> Reference | None:
    """Fit all that apply to the training rows; predict with the best on validation rows. None if none applies."""
    if task.problem_type.targets in WITHOUT_FEEDBACK:
        return None
    train, (later, truth) = parts
    later, truth, metric = later[:MAX_VALIDATION], truth[:MAX_VALIDATION], task.metric
    setting, classes = task.train.threshold, len(task.classes)
    decides = encoder.problem.threshold is not None

    def threshold(outputs: Array) -> Threshold | None:
        # A network of an earlier release decides without a threshold, and so does the model that it is compared with.
        return decision_threshold.decide(setting, classes, train[1], truth, outputs) if decides else None

    def loss(reference: base.FittedReference) -> float:
        outputs = reference.outputs(later)
        value = metric.score(truth, outputs, with_threshold(context, threshold(outputs)))
        return -value if metric.higher_is_better else value

    reference = base.best(task.reference_subject(encoder), train, loss)
    if reference is None:
        return None
    return Reference(
        reference.model.title, reference.outputs(features), reference.extent, threshold(reference.outputs(later))
    )
