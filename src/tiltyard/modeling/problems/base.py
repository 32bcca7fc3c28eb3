"""The Problem base class: output layer and losses, targets, and predictions of a kind of problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array, Fitted, Rows
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.settings import Bounds, Settings

Run = Callable[[Rows], Array]  # runs the model: parsed rows to outputs


class Target(Settings):
    """What is to be predicted."""

    column: str
    classes: list[str] | None = Field(None, min_length=2, description="The labels, for classification.")
    bounds: Bounds | None = Field(None, description="Lowest and highest value that is believed.")
    threshold: float | None = Field(None, description="For a number and two classes: the second from here up.")
    horizon: int = Field(1, ge=1, le=1000, description="How many steps of a series are forecast at once.")
    interval: float | None = Field(
        None, gt=0, lt=1, description="Of forecasts: answer also the two ends that this share of values lie between."
    )
    rise: bool = Field(
        default=False, description="Of two classes of a series: the second if the value at the horizon is higher."
    )
    log: bool = Field(default=False, description="Learn the logarithm of 1 + the number; answers are in its own unit.")
    unit: str = ""
    length: int | None = Field(None, ge=1, le=1000, description="Of texts: the most steps of an answer.")
    by: Literal["words", "characters"] = Field("characters", description="Of texts: what a step is.")

    @property
    def labels(self) -> list[str]:
        """What the data may hold; none if it holds numbers."""
        return [] if self.threshold is not None or self.rise else self.classes or []

    @property
    def told(self) -> str:
        """Its name and unit."""
        return f"{self.column} ({self.unit})" if self.unit else self.column


class FittedEncoder(Protocol):
    """The part of an encoder that a problem reads: columns and fitted state."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """Return the columns by name."""

    @property
    def fitted(self) -> Mapping[str, Fitted]:
        """Return the fitted state of each column."""

    @property
    def target(self) -> Fitted:
        """Return the fitted state of the target."""

    @property
    def classes(self) -> list[str]:
        """Return the labels of a classification, else an empty list."""

    @property
    def vocabulary_size(self) -> int:
        """Return the number of ids if features are ids, else 0."""


class Problem(ABC):
    """A kind of learning problem: plug-ins in problems/ define targets and predictions, those in evaluators/ metrics.

    `truth` is one number a row: the value itself, or the place of the label among the classes; or several, or a text.
    `outputs` is what the ONNX model gives, (rows, units), or what `condense` makes of it.
    """

    losses: ClassVar[
        dict[str, tuple[str, ...]]
    ]  # output activation -> losses that go with it; the first of each is usual
    targets: ClassVar[str]  # "number", "label" or "text"

    @abstractmethod
    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return the number of units of the output layer."""

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit the state of the target to the training rows; by default there is none."""
        return {}

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the targets of a text: one id per step."""
        raise NotImplementedError

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the outputs reduced to what metrics need, one row each; by default all."""
        return outputs

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Predict the rows of a request by running the model, once by default.

        Values so large that it overflows are refused, since JSON has no infinity.
        """
        outputs = run(rows)
        if not np.isfinite(outputs).all():
            (first, *_) = np.flatnonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1))
            raise RequestError("out_of_bounds", "the values are too large for the model", f"instances[{first}]")
        return self.answer(outputs, encoder.classes)

    @abstractmethod
    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Convert outputs to predictions as JSON, one per instance."""

    @abstractmethod
    def purpose(self, target: Target) -> str:
        """Describe the predictions for the model card."""

    @abstractmethod
    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the JSON Schema of one prediction."""
