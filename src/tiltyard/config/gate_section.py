"""The terms: what a task asks of a challenger before it becomes champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.settings import Settings

NUMBERS, NAMES = ("number",), ("category", "boolean")


class Slice(Settings):
    """Some of the sealed rows: those with one of some values, or with a number in a span."""

    column: str
    values: list[str | int | bool] | None = Field(None, min_length=1, description="Of a column of names or flags.")
    low: float | None = Field(None, description="Of a column of numbers: from here up.")
    high: float | None = Field(None, description="Of a column of numbers: below this.")

    @model_validator(mode="after")
    def _consistent(self) -> Slice:
        if (self.values is None) == (self.low is None and self.high is None):
            raise ValueError("expected either values, or low or high or both")
        return self

    @property
    def name(self) -> str:
        """For people: what rows these are."""
        if self.values is not None:
            return f"{self.column} {' or '.join(map(str, self.values))}"
        low = [] if self.low is None else [f"from {self.low:g}"]
        return " ".join([self.column, *low, *([] if self.high is None else [f"below {self.high:g}"])])


class Behaviour(Settings):
    """What may never happen to an answer when one column is changed: {vary: bathrooms, by: 1, never: lower}."""

    vary: str = Field(description="The column that is changed.")
    by: float | None = Field(None, description="Add this to its number.")
    to: str | int | bool | None = Field(None, description="Or put this in the place of its name or flag.")
    never: Literal["lower", "higher", "another"] = Field(description="What the answer may not become.")
    label: str | None = Field(None, description="With classes: whose probability is the answer; else the likeliest.")
    within: float = Field(0.0, ge=0, description="By how much it may become so all the same.")
    share: float = Field(0.95, gt=0, le=1, description="Of the rows that must behave.")

    @model_validator(mode="after")
    def _consistent(self) -> Behaviour:
        if (self.by is None) == (self.to is None):
            raise ValueError("expected either by, for a number, or to, for a name")
        return self

    @property
    def told(self) -> str:
        """The rule as a sentence."""
        change = f"{self.by:+g}" if self.by is not None else f"to {self.to}"
        answer = f"{self.never} answer" if self.label is None else f"{self.never} probability of {self.label}"
        return f"{self.vary} {change}: never a {answer}".replace("a another", "another")


class Gate(Settings):
    """What a challenger must show before it becomes champion."""

    metric: str
    minimum_gain: float = Field(0.0, ge=0, description="By how much it must beat the champion.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of every interval.")
    max_gap: float = Field(
        0.5, gt=0, description="Largest share of the training rows' gain over the baseline that test rows may lack."
    )
    latency_ms: float = Field(20.0, gt=0, description="Longest one-row answer allowed, as a median.")
    min_recall: float = Field(0.05, ge=0, le=1, description="Of every class: below it, the class has collapsed.")
    require: dict[str, float] = Field(default_factory=dict, description="Metrics, and the value that each must reach.")
    slices: list[str | Slice] = Field(
        default_factory=list, description="Columns, or parts of one, by which rows are judged apart from each other."
    )
    slice_floor: float | None = Field(None, description="What the gate's metric must reach on each slice.")
    slice_loss: float = Field(0.0, ge=0, description="By how much a slice may surely be worse than by the champion.")
    calibration: float = Field(0.1, gt=0, lt=1, description="Largest error of stated probabilities, chance apart.")
    noise: float = Field(0.1, gt=0, description="In deviations of a column: how much it is disturbed as a trial.")
    noise_loss: float = Field(0.5, gt=0, description="Share of the gain over the baseline that may be lost by it.")
    behaviours: list[Behaviour] = Field(default_factory=list, description="What answers may never do.")
    sensitive: list[str] = Field(default_factory=list, description="Columns whose groups are to be treated alike.")
    favourable: str | None = Field(None, description="The label that is good to get; each in turn if unset.")
    fairness: float = Field(0.8, gt=0, le=1, description="Smallest ratio between two groups.")
    size_mb: float = Field(500.0, gt=0, description="Largest model.onnx.")
    memory_mb: float = Field(2000.0, gt=0, description="Most memory that a process which answers may take.")
    uses: int = Field(
        50, ge=0, description="How many versions the same sealed rows may judge before fresh ones are due."
    )
    approval: bool = Field(default=False, description="Want a person's word: tiltyard approve TASK.")
    signed: bool = Field(default=False, description="Want every decision signed: tiltyard key NAME --sign.")
    approval_minutes: float = Field(0.0, ge=0, description="How long a run waits for that word.")
    committed: bool = Field(default=False, description="Insist that code and task are committed to git.")

    def misfit(self, columns: Mapping[str, Column], classes: Sequence[str], targets: str) -> str:
        """Return what does not go with the columns of the task; nothing if all does."""
        for key, named, kinds in self._named():
            for name in named:
                if name not in columns or columns[name].type not in kinds:
                    fit = [known for known, column in columns.items() if column.type in kinds]
                    kind = " or ".join(kinds)
                    return f"gate.{key}: expected a column of type {kind}: {', '.join(fit) or 'none'}; received {name}"
        labels = {"favourable": self.favourable, "behaviours.label": next(iter(self._labels()), None)}
        for key, label in labels.items():
            if label is not None and label not in classes:
                return f"gate.{key}: expected one of {', '.join(classes) or 'no label'}; received {label}"
        for key, name, values in self._valued():
            if text := _misread(columns[name], values):
                return f"gate.{key}: {name}: {text}"
        unclear = [one.told for one in self.behaviours if classes and one.label is None and one.never != "another"]
        if unclear:
            return f"gate.behaviours.label: expected whose probability it is; received none: {unclear[0]}"
        if targets == "text" and (self.slices or self.behaviours or self.sensitive):
            return "gate: expected no slices, behaviours or sensitive columns for texts"
        return ""

    def _labels(self) -> list[str]:
        return [one.label for one in self.behaviours if one.label is not None]

    def _valued(self) -> list[tuple[str, str, list[Any]]]:
        """List the values that columns must know."""
        spans = [one for one in self.slices if isinstance(one, Slice) and one.values is not None]
        return [
            *(("behaviours.to", one.vary, [one.to]) for one in self.behaviours if one.to is not None),
            *(("slices.values", one.column, one.values or []) for one in spans),
        ]

    def _named(self) -> list[tuple[str, list[str], tuple[str, ...]]]:
        """List the columns that are named where, and of what types they may be."""
        spans = [one.column for one in self.slices if isinstance(one, Slice) and one.values is None]
        valued = [one.column for one in self.slices if isinstance(one, Slice) and one.values is not None]
        return [
            ("slices", [one for one in self.slices if isinstance(one, str)], (*NAMES, *NUMBERS)),
            ("slices.column", spans, NUMBERS),
            ("slices.column", valued, NAMES),
            ("behaviours.vary", [one.vary for one in self.behaviours if one.by is not None], NUMBERS),
            ("behaviours.vary", [one.vary for one in self.behaviours if one.to is not None], NAMES),
            ("sensitive", self.sensitive, NAMES),
        ]


def _misread(column: Column, values: list[Any]) -> str:
    """Return which value is none of a column's."""
    try:
        column.parse(column.read(values), "value")
    except RequestError as error:
        return error.message
    return ""
