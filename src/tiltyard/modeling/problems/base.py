"""The Problem base class: output layer and losses, targets, and predictions of a kind of problem."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from operator import not_
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Fitted, Rows
from tiltyard.errors import RequestError
from tiltyard.modeling.columns._number_format import NumberFormat
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.problems._interaction import Interaction
from tiltyard.settings import Bounds, Settings

WITHOUT_FEEDBACK = ("text", "row", "objects", "mask")  # targets of which clients cannot send the ground truth
Run = Callable[[Rows], Array]  # runs the model on parsed rows and returns its outputs
Threshold = float | list[float]  # of the second of two labels, or of each label of which a row may have several


MAX_MISSING = 0.05  # of the rows
MAX_NUMBERS = 50  # predicted at once
MAX_OBJECTS = 20  # of a picture, unless a task says otherwise


class NumberTarget(Settings):
    """One of several numbers to predict."""

    bounds: Bounds | None = Field(None, description="Lowest and highest plausible value.")
    log: bool = Field(default=False, description="Learn log(1 + value); predictions are in the original unit.")
    written: NumberFormat | None = Field(None, description="How the numbers are written, if not plainly.")
    unit: str = Field("", description="The unit of the numbers, shown beside them.")


class Target(Settings):
    """The `target:` section of a task file: the column to predict, or several of them, and how they are learned."""

    column: str = Field("", exclude_if=not_, description="The column to predict.")
    columns: dict[str, NumberTarget] | None = Field(
        None,
        min_length=2,
        max_length=MAX_NUMBERS,
        exclude_if=lambda value: value is None,
        description="Several columns of numbers to predict at once, in place of `column`: each with its own bounds, "
        "log, written and unit, or {}.",
    )
    classes: list[str] | None = Field(
        None, min_length=2, description="The labels, for classification and multi-label classification."
    )
    separator: str | None = Field(
        None,
        min_length=1,
        max_length=10,
        exclude_if=lambda value: value is None,
        description="Multi-label: the text between two labels of a cell, such as |; unset if cells hold lists.",
    )
    bounds: Bounds | None = Field(None, description="Lowest and highest plausible value.")
    threshold: float | None = Field(None, description="Makes two classes of a number: the second one begins here.")
    horizon: int = Field(1, ge=1, le=1000, description="How many time steps are forecast at once.")
    interval: float | None = Field(
        None, gt=0, lt=1, description="Forecasts: predict an interval that holds this share of values."
    )
    rise: bool = Field(
        default=False, description="Series with two classes: the second if the value at the horizon is higher."
    )
    log: bool = Field(default=False, description="Learn log(1 + value); predictions are in the original unit.")
    written: NumberFormat | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="How the numbers are written, if not plainly, such as 1.002,66 €.",
    )
    interaction: Interaction | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Recommendation: the column is the rating that a user gives an item; these are user and item.",
    )
    drop_missing: float = Field(
        MAX_MISSING,
        ge=0,
        lt=1,
        exclude_if=MAX_MISSING.__eq__,
        description="Rows without a target are left out if they are at most this share of a table; else refused.",
    )
    unit: str = Field("", description="The unit of the numbers, shown beside them.")
    max_objects: int = Field(
        MAX_OBJECTS,
        ge=1,
        le=100,
        exclude_if=MAX_OBJECTS.__eq__,
        description="Detection: the most objects of a picture; more are refused.",
    )
    length: int | None = Field(None, ge=1, le=1000, description="Texts: maximum number of tokens of a prediction.")
    by: Literal["words", "characters"] = Field("characters", description="Texts: what a token is.")
    normal: list[str] | None = Field(
        None,
        min_length=1,
        exclude_if=lambda value: value is None,
        description="Anomalies: the labels of normal rows; all others are anomalies, and rows without a label are "
        "taken for normal ones in training.",
    )
    span: Literal["last", "window"] = Field(
        "last",
        exclude_if="last".__eq__,
        description="Anomalies in a series: whether the last step of a window is judged, or any step of it.",
    )

    @model_validator(mode="after")
    def _one_or_several(self) -> Target:
        if self.column and self.columns:
            raise ValueError("expected column, or columns for several numbers; received both")
        for name in ("bounds", "log", "written", "unit", "classes", "threshold", "separator", "length", "interval"):
            if self.columns and getattr(self, name):
                per_column = name in NumberTarget.model_fields
                expected = f"it for each of columns, such as columns.{next(iter(self.columns))}.{name}"
                raise ValueError(
                    f"{name}: expected {expected if per_column else 'none with columns'}; received it here"
                )
        return self

    @property
    def names(self) -> list[str]:
        """The names of the columns to predict; none if there is no target."""
        return [*self.columns] if self.columns else [self.column] if self.column else []

    @property
    def parts(self) -> list[Target]:
        """A target for each of the columns to predict."""
        if not self.columns:
            return [self]
        shared = self.model_dump(exclude={"column", "columns", *NumberTarget.model_fields})
        return [
            Target(column=name, **{key: getattr(one, key) for key in NumberTarget.model_fields}, **shared)
            for name, one in self.columns.items()
        ]

    @property
    def labels(self) -> list[str]:
        """The labels; empty if the target is a number or a text."""
        return [] if self.threshold is not None or self.rise else self.classes or []

    @property
    def number(self) -> Number:
        """A column that reads the target's cells as numbers."""
        return Number(written=self.written, missing="median")

    @property
    def display_name(self) -> str:
        """The name and the unit of the target, or of each of several."""
        if self.columns:
            return ", ".join(part.display_name for part in self.parts)
        return f"{self.column} ({self.unit})" if self.unit else self.column


class FittedEncoder(Protocol):
    """The part of an encoder that problems use: columns and fitted state."""

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
        """Return the labels, of which a row has one or any number; an empty list if the target is none."""

    @property
    def bare(self) -> bool:
        """Return whether an instance is a bare value, not an object of named features."""

    @property
    def vocabulary_size(self) -> int:
        """Return the number of ids if features are ids, else 0."""

    def joined(self, values: dict[str, list[Any]]) -> list[Any]:
        """Return instances from the values of each column."""


class Problem(ABC):
    """A kind of learning problem: plug-ins in problems/ define targets and predictions, those in evaluators/ metrics.

    `truth` has for each row a number, the index of a label among the classes, a flag for each label, several numbers,
    or a text. `outputs` are the outputs of the ONNX model, (rows, units), or the result of `condense`.
    """

    losses: ClassVar[
        dict[str, tuple[str, ...]]
    ]  # output activation -> losses that it allows; the first of each is the default
    # "number", "label", "labels" (any number of them), "text", "objects", "mask", "row" (no target) or "anomaly"
    targets: ClassVar[str]
    reconstructs: ClassVar[bool] = False  # whether the network learns to return its input, encoded
    recommends: ClassVar[bool] = False  # whether rows are ratings of items by users, and items are recommended
    clusters: ClassVar[bool] = False  # whether rows are put into groups that no label names
    generates: ClassVar[bool] = False  # whether the model draws new rows: beside the network it has a decoder
    threshold: Threshold | None = None  # probability from which a label is predicted, if not the usual one

    def fitted_to(self, target: Fitted) -> Problem:
        """Return the problem with what was fitted to the targets; by default nothing changes."""
        return self

    def bound_to(self, encoder: FittedEncoder) -> Problem:
        """Return the problem of an encoder, which has the columns as well; by default only the fitted target counts."""
        return self.fitted_to(encoder.target)

    @abstractmethod
    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return the number of units of the output layer."""

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit the state of the target to the training rows; by default there is none."""
        return {}

    def ids(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the targets of a text: one id per step."""
        raise NotImplementedError

    def baseline_truth(self, encoder: FittedEncoder, truth: Array) -> Array:
        """Return the truth of texts as the baseline reads it; by default unchanged."""
        return truth

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the outputs reduced to what metrics need, one row each; by default all."""
        return outputs

    def gathered(self, truth: Array, condensed: Array) -> Array:
        """Return condensed outputs of all rows in order, where rows depend on one another; by default unchanged."""
        return condensed

    def of_single_rows(self, condensed: Array) -> Array:
        """Return the part of condensed outputs that depends on no other row; by default all."""
        return condensed

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Predict the rows of a request; by default, run the model once.

        Raise RequestError if outputs overflow, since JSON has no infinity.
        """
        outputs = run(rows)
        if not np.isfinite(outputs).all():
            (first, *_) = np.flatnonzero(~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1))
            raise RequestError("out_of_bounds", "the values are too large for the model", f"instances[{first}]")
        return self.decode(outputs, encoder.classes)

    @abstractmethod
    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Convert outputs to predictions as JSON, one per instance."""

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return the predictions of `decode` as arrays, one for each property; None if only `decode` computes them."""
        return None

    @abstractmethod
    def purpose(self, target: Target) -> str:
        """Return a phrase that describes the predictions, for the model card."""

    @abstractmethod
    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the JSON Schema of one prediction."""
