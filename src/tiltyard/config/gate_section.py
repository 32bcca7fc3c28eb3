"""The `gate:` section of a task file: the requirements that a challenger must meet to become champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import not_
from typing import Any, Literal

from pydantic import Field, model_validator

from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.settings import Settings

REFRESH_MARGIN = 0.1
VARIETY, COPIES = 0.5, 0.01  # of samples
NUMBERS, NAMES = ("number",), ("category", "boolean")


class Slice(Settings):
    """A slice of the sealed test rows: those with certain values, or with a number in a range."""

    column: str
    values: list[str | int | bool] | None = Field(
        None, min_length=1, description="Values of a category or boolean column."
    )
    low: float | None = Field(None, description="Lowest value, for a number column.")
    high: float | None = Field(None, description="Values below this, for a number column.")

    @model_validator(mode="after")
    def _consistent(self) -> Slice:
        if (self.values is None) == (self.low is None and self.high is None):
            raise ValueError("expected either values, or low or high or both")
        return self

    @property
    def name(self) -> str:
        """The slice in words."""
        if self.values is not None:
            return f"{self.column} {' or '.join(map(str, self.values))}"
        low = [] if self.low is None else [f"from {self.low:g}"]
        return " ".join([self.column, *low, *([] if self.high is None else [f"below {self.high:g}"])])


class Behaviour(Settings):
    """A behavioural test: how a prediction must not change with a column: {vary: bathrooms, by: 1, never: lower}."""

    vary: str = Field(description="The column that is changed.")
    by: float | None = Field(None, description="Number to add to the column.")
    to: str | int | bool | None = Field(None, description="Category or boolean to set the column to.")
    never: Literal["lower", "higher", "another"] = Field(description="How the prediction must not change.")
    label: str | None = Field(
        None, description="The label whose probability is compared; if unset, the predicted label is compared."
    )
    within: float = Field(0.0, ge=0, description="Tolerance of such a change.")
    share: float = Field(0.95, gt=0, le=1, description="Share of the rows that must pass.")

    @model_validator(mode="after")
    def _consistent(self) -> Behaviour:
        if (self.by is None) == (self.to is None):
            raise ValueError("expected either by, for a number, or to, for a name")
        return self

    @property
    def description(self) -> str:
        """The rule as a sentence."""
        change = f"{self.by:+g}" if self.by is not None else f"to {self.to}"
        answer = f"{self.never} answer" if self.label is None else f"{self.never} probability of {self.label}"
        return f"{self.vary} {change}: never a {answer}".replace("a another", "another")


class Gate(Settings):
    """The requirements that a challenger must meet to become champion."""

    metric: str
    minimum_gain: float = Field(
        0.0, ge=0, description="Minimum gain over the champion, which the upper end of its interval must reach."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence level of every interval.")
    max_gap: float = Field(
        0.5, gt=0, description="Largest share of the training rows' gain over the baseline that test rows may lack."
    )
    latency_ms: float = Field(20.0, gt=0, description="Largest median latency of a one-row prediction.")
    min_recall: float = Field(0.05, ge=0, le=1, description="Smallest recall of every class.")
    require: dict[str, float] = Field(default_factory=dict, description="Metrics, and the value that each must reach.")
    slices: list[str | Slice] = Field(
        default_factory=list, description="Columns, or slices of one, by which rows are evaluated separately."
    )
    slice_floor: float | None = Field(None, description="Value that the gate's metric must reach on each slice.")
    slice_loss: float = Field(
        0.0, ge=0, description="Largest significant loss against the champion that a slice may have."
    )
    calibration: float = Field(0.1, gt=0, lt=1, description="Largest calibration error beyond that expected by chance.")
    noise: float = Field(
        0.1, gt=0, description="Noise added to columns in the robustness test, in standard deviations."
    )
    noise_loss: float = Field(0.5, gt=0, description="Largest share of the gain over the baseline that noise may cost.")
    behaviours: list[Behaviour] = Field(default_factory=list, description="Behavioural tests.")
    sensitive: list[str] = Field(default_factory=list, description="Columns whose groups must be treated equally.")
    favourable: str | None = Field(None, description="The favourable label; if unset, every label is checked.")
    fairness: float = Field(0.8, gt=0, le=1, description="Smallest ratio of a rate between two groups.")
    refresh: bool = Field(
        False,
        exclude_if=not_,
        description="Also promote a challenger that is not worse, if it was trained on newer data or serves rows that "
        "the champion refuses.",
    )
    refresh_margin: float = Field(
        REFRESH_MARGIN,
        gt=0,
        lt=1,
        exclude_if=REFRESH_MARGIN.__eq__,
        description="Share of the champion's gain over the baseline that such a challenger may lack.",
    )
    variety: float = Field(
        VARIETY,
        gt=0,
        exclude_if=VARIETY.__eq__,
        description="Samples: least variance of their features, as a share of that of test rows.",
    )
    copies: float = Field(
        COPIES,
        ge=0,
        lt=1,
        exclude_if=COPIES.__eq__,
        description="Samples: largest share that is far nearer to a training row than test rows are.",
    )
    size_mb: float = Field(500.0, gt=0, description="Maximum size of model.onnx.")
    memory_mb: float = Field(2000.0, gt=0, description="Maximum memory of a serving process.")
    uses: int = Field(50, ge=0, description="How many versions may be evaluated on the same sealed test rows.")
    approval: bool = Field(default=False, description="Require human approval: tiltyard approve TASK.")
    signed: bool = Field(default=False, description="Require signed decisions: tiltyard key NAME --sign.")
    approval_minutes: float = Field(0.0, ge=0, description="How long a run waits for that approval.")
    committed: bool = Field(default=False, description="Require that code and task are committed to git.")

    def find_mismatch(self, columns: Mapping[str, Column], classes: Sequence[str], targets: str) -> str:
        """Return the first setting that does not fit the columns of the task; empty if all fit."""
        for key, named, kinds in self._named_columns():
            for name in named:
                if name not in columns or columns[name].type not in kinds:
                    fit = [column_name for column_name, column in columns.items() if column.type in kinds]
                    kind = " or ".join(kinds)
                    return f"gate.{key}: expected a column of type {kind}: {', '.join(fit) or 'none'}; received {name}"
        labels = {"favourable": self.favourable, "behaviours.label": next(iter(self._labels()), None)}
        for key, label in labels.items():
            if label is not None and label not in classes:
                return f"gate.{key}: expected one of {', '.join(classes) or 'no label'}; received {label}"
        for key, name, values in self._named_values():
            if text := _value_error(columns[name], values):
                return f"gate.{key}: {name}: {text}"
        unclear = [
            behaviour.description
            for behaviour in self.behaviours
            if classes and behaviour.label is None and (behaviour.never != "another" or targets == "labels")
        ]
        if unclear:
            return (
                f"gate.behaviours.label: expected the label whose probability is compared; received none: {unclear[0]}"
            )
        if targets == "text" and (self.slices or self.behaviours or self.sensitive):
            return "gate: expected no slices, behaviours or sensitive columns for texts"
        return ""

    def _labels(self) -> list[str]:
        return [behaviour.label for behaviour in self.behaviours if behaviour.label is not None]

    def _named_values(self) -> list[tuple[str, str, list[Any]]]:
        """Return key, column and values of settings whose values must be valid for the column."""
        spans = [item for item in self.slices if isinstance(item, Slice) and item.values is not None]
        return [
            *(("behaviours.to", item.vary, [item.to]) for item in self.behaviours if item.to is not None),
            *(("slices.values", item.column, item.values or []) for item in spans),
        ]

    def _named_columns(self) -> list[tuple[str, list[str], tuple[str, ...]]]:
        """Return key, columns and allowed column types of settings that name columns."""
        spans = [item.column for item in self.slices if isinstance(item, Slice) and item.values is None]
        valued = [item.column for item in self.slices if isinstance(item, Slice) and item.values is not None]
        return [
            ("slices", [item for item in self.slices if isinstance(item, str)], (*NAMES, *NUMBERS)),
            ("slices.column", spans, NUMBERS),
            ("slices.column", valued, NAMES),
            ("behaviours.vary", [item.vary for item in self.behaviours if item.by is not None], NUMBERS),
            ("behaviours.vary", [item.vary for item in self.behaviours if item.to is not None], NAMES),
            ("sensitive", self.sensitive, NAMES),
        ]


def _value_error(column: Column, values: list[Any]) -> str:
    """Return the error for a value that is not valid for a column; empty if all are."""
    try:
        column.parse(column.read(values), "value")
    except RequestError as error:
        return error.message
    return ""
