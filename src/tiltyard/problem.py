"""The type of a problem: which outputs and losses fit, what is measured, what must be beaten, what is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted, Rows
from tiltyard.errors import RequestError
from tiltyard.exhibit import Exhibit
from tiltyard.predictions import Predictions

if TYPE_CHECKING:
    from tiltyard.encoder import Encoder
    from tiltyard.task import Task

Run = Callable[[Rows], Array]  # asks the model: parsed rows to outputs

# Facts about the training rows that a metric may need, such as the error of the naive forecast.
Context = Mapping[str, float]

TRUTH = "truth"  # the name under which a baseline finds the truth, where it is scored step by step as the model is


@dataclass(frozen=True)
class Metric:
    """A figure about predictions: `score(truth, outputs, context)`, which way is up, and what it says to people."""

    title: str
    score: Callable[[Array, Array, Context], float]
    higher_is_better: bool
    meaning: str

    def gain(self, new: float, old: float) -> float:
        """Say by how much `new` is better than `old`; negative if it is worse."""
        return new - old if self.higher_is_better else old - new


class Problem(ABC):
    """What a task wants; plug-ins in problems/ say what each kind means.

    `truth` is one number a row: the value itself, or the place of the label among the classes; or several, or a text.
    `outputs` is what the ONNX model gives, (rows, units), or what `condense` makes of it.
    """

    losses: ClassVar[
        dict[str, tuple[str, ...]]
    ]  # output activation -> losses that go with it; the first of each is usual
    metrics: ClassVar[dict[str, Metric]]
    targets: ClassVar[str]  # "number", "label" or "text"
    baseline_title: ClassVar[str]  # what the baseline answers

    @abstractmethod
    def units(self, task: Task, encoder: Encoder) -> int:
        """Say how many units the output layer has."""

    def fit(self, task: Task, truth: Array) -> Fitted:
        """Learn from the truth of the training rows what is needed to spell it; by default nothing."""
        return {}

    def ids(self, encoder: Encoder, truth: Array) -> Array:
        """Give what is learned where the truth is a text: an id a step."""
        raise NotImplementedError

    def condense(self, encoder: Encoder, truth: Array, outputs: Array) -> Array:
        """Give what metrics look at of the model's outputs, a row each: by default all."""
        return outputs

    def respond(self, encoder: Encoder, run: Run, rows: Rows) -> list[Any]:
        """Answer rows of a request by asking the model; by default once.

        Values so large that it overflows are refused, since JSON has no infinity.
        """
        outputs = run(rows)
        if not np.isfinite(outputs).all():
            (first, *_) = np.flatnonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1))
            raise RequestError("out_of_bounds", "the values are too large for the model", f"instances[{first}]")
        return self.answer(outputs, encoder.classes)

    @abstractmethod
    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Give the outputs of the simplest honest model, as the metric would have it: no features, or a past value."""

    @abstractmethod
    def context(self, train: Array) -> dict[str, float]:
        """Learn from the training targets what metrics need."""

    @abstractmethod
    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Turn outputs into what a REST client receives, one an instance."""

    @abstractmethod
    def purpose(self, task: Task) -> str:
        """Say what a model answers with, for its card."""

    @abstractmethod
    def json_schema(self, task: Task) -> dict[str, Any]:
        """Describe one answer to a REST client."""

    @abstractmethod
    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Say what the report holds beyond metrics, as JSON: tables, worst rows."""

    @abstractmethod
    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Give the data behind the pictures, by name: columns that become a CSV file."""

    @abstractmethod
    def exhibits(self, predictions: Predictions) -> list[Exhibit]:
        """Show the predictions to people."""

    def scores(self, truth: Array, outputs: Array, context: Context) -> dict[str, float]:
        """Measure everything."""
        return {name: metric.score(truth, outputs, context) for name, metric in self.metrics.items()}
