"""Checks of output layer and loss: which losses a problem allows with which output, and what they need."""

from __future__ import annotations

from typing import Protocol

from tiltyard.config.train_section import MARGIN_LOSSES, Train
from tiltyard.modeling.models.base import Model
from tiltyard.modeling.problems.base import Problem, Target


class ObjectiveSettings(Protocol):
    """The part of a task that decides what is learned."""

    @property
    def problem(self) -> str:
        """The name of the problem."""

    @property
    def problem_type(self) -> Problem:
        """The problem plug-in."""

    @property
    def output(self) -> str:
        """The activation of the output layer."""

    @property
    def loss(self) -> str:
        """The loss function."""

    @property
    def classes(self) -> list[str]:
        """The labels of a classification."""

    @property
    def target(self) -> Target:
        """The target section."""

    @property
    def model(self) -> Model:
        """The model section."""

    @property
    def train(self) -> Train:
        """The train section."""


def find_error(task: ObjectiveSettings) -> str:
    """Return the first setting of output and loss that does not fit: key, expected, received; or empty."""
    losses, output = task.problem_type.losses, task.output
    if output not in losses:
        return f"model.output: expected {' or '.join(losses)} for {task.problem}; received {output}"
    if (loss := task.loss) not in losses[output]:
        others = [other for other, names in losses.items() if loss in names]
        why = f"which needs model.output: {others[0]}" if others else f"which is not for {task.problem}"
        article = "an" if output == "exponential" else "a"
        expected = f"{' or '.join(losses[output])} with {article} {output} output"
        return f"train.loss: expected {expected}; received {loss}, {why}"
    if output == "sigmoid" and task.problem == "classification" and len(task.classes) != 2:
        return f"model.output: expected softmax for {len(task.classes)} classes; received sigmoid, which is for 2"
    return _margin(task) if loss in MARGIN_LOSSES else _counts(task) if output == "exponential" else ""


def _margin(task: ObjectiveSettings) -> str:
    """Check that labels stay whole, and that a scale can be put into the output layer."""
    mixup = task.train.augment.mixup if task.train.augment else 0.0
    for key, value in (("label_smoothing", task.train.label_smoothing), ("augment.mixup", mixup)):
        if value:
            return f"train.{key}: expected 0 for {task.loss}, whose labels are -1 and 1; received {value:g}"
    if not task.model.trained_by_epochs or not task.model.one_output_layer:
        why = "whose output is not one dense layer, which turns margins into probabilities"
        return (
            f"train.loss: expected binary_crossentropy for the family {task.model.family}, {why}; received {task.loss}"
        )
    return ""


def _counts(task: ObjectiveSettings) -> str:
    """Check that the target is learned as it is, and is never negative."""
    if task.target.log:
        return "target.log: expected false with an exponential output, which learns the logarithm itself; received true"
    if task.target.bounds and task.target.bounds[0] < 0:
        low = task.target.bounds[0]
        return (
            f"target.bounds: expected 0 or more with an exponential output, which is never negative; received {low:g}"
        )
    return ""
