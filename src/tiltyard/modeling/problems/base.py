"""The type of a problem: which outputs and losses fit, what is learned, and what is answered."""

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

Run = Callable[[Rows], Array]  # asks the model: parsed rows to outputs


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
    """What a problem reads of an encoder: the columns, and what was learned from the training rows."""

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns, by name."""

    @property
    def fitted(self) -> Mapping[str, Fitted]:
        """What each column encoder."""

    @property
    def target(self) -> Fitted:
        """What the problem learned from the truth."""

    @property
    def classes(self) -> list[str]:
        """The labels; none unless it is a classification."""

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are where features are ids; 0 elsewhere."""


class Problem(ABC):
    """What a task learns and answers; plug-ins in problems/ say what each kind means, those in evaluators/ measure it.

    `truth` is one number a row: the value itself, or the place of the label among the classes; or several, or a text.
    `outputs` is what the ONNX model gives, (rows, units), or what `condense` makes of it.
    """

    losses: ClassVar[
        dict[str, tuple[str, ...]]
    ]  # output activation -> losses that go with it; the first of each is usual
    targets: ClassVar[str]  # "number", "label" or "text"

    @abstractmethod
    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return how many units the output layer has."""

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Learn from the truth of the training rows what is needed to spell it; by default nothing."""
        return {}

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return what is learned where the truth is a text: an id a step."""
        raise NotImplementedError

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return what metrics look at of the model's outputs, a row each: by default all."""
        return outputs

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Answer rows of a request by asking the model; by default once.

        Values so large that it overflows are refused, since JSON has no infinity.
        """
        outputs = run(rows)
        if not np.isfinite(outputs).all():
            (first, *_) = np.flatnonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1))
            raise RequestError("out_of_bounds", "the values are too large for the model", f"instances[{first}]")
        return self.answer(outputs, encoder.classes)

    @abstractmethod
    def answer(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Turn outputs into what a REST client receives, one an instance."""

    @abstractmethod
    def purpose(self, target: Target) -> str:
        """Return what a model answers with, for its card."""

    @abstractmethod
    def json_schema(self, target: Target) -> dict[str, Any]:
        """Describe one answer to a REST client."""
