"""The short sections of a task file: split, check, serve and search (the search space of hyperparameters)."""

from __future__ import annotations

import json
from operator import not_
from typing import Any, Literal

from pydantic import Field, model_validator

from tiltyard.modeling.columns._datetime_format import DatetimeFormat
from tiltyard.settings import Settings


class Split(Settings):
    """How rows are split into training, validation and test; identical rows always stay together."""

    kind: Literal["random", "stratified", "chronological", "given", "complete"] = Field(
        description="given: the column `by` names the part; for images, the folder above the class. complete: each row "
        "is a training, validation and test row, for a table with every combination of its columns' values."
    )
    test: float = Field(0.2, gt=0, lt=1)
    validation: float = Field(0.2, gt=0, lt=1, description="Share of all rows, like `test`.")
    seed: int = 0
    by: str | None = Field(None, description="The raw column of times, or of the parts of a given split.")
    # Not written if unset, so that the parameters of earlier verdicts stay the same.
    format: str | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="The format of times in `by`, such as %d.%m.%Y, if not ISO 8601.",
    )
    group: str | None = Field(None, description="The raw column whose rows stay together: a customer, a patient.")

    rows: int | None = Field(
        None, ge=10, description="How many rows to use: chosen by hash, or the latest; all if unset."
    )

    training_rows: int | None = Field(
        None,
        ge=10,
        exclude_if=lambda value: value is None,
        description="How many rows that are not test rows to use, for training and validation together: chosen by "
        "hash; all if unset. It shows what few labels are worth, on the same test rows.",
    )

    unlabelled: bool = Field(
        default=False,
        exclude_if=not_,
        description="Keep the rows that `training_rows` leaves out, without their labels, for pre-training: "
        "for the family dbn.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Split:
        if self.by and self.kind not in ("chronological", "given"):
            raise ValueError(f"by: expected for a chronological or given split; received {self.by} with {self.kind}")
        if self.format and (self.kind != "chronological" or not self.by):
            raise ValueError(f"format: expected for a chronological split with `by`; received {self.format}")
        if self.format:
            DatetimeFormat(self.format)
        if self.group and self.kind in ("chronological", "given", "complete"):
            raise ValueError(f"group: expected for a random or stratified split; received {self.group}")
        if self.rows and self.complete:
            raise ValueError(f"rows: expected none for a complete split, which uses all; received {self.rows}")
        if self.training_rows and self.kind in ("chronological", "complete"):
            raise ValueError(f"training_rows: expected for a random, stratified or given split; received {self.kind}")
        if self.unlabelled and not self.training_rows:
            raise ValueError("unlabelled: expected with training_rows, which leaves some out; received none")
        if self.test + self.validation >= 1:
            raise ValueError(f"expected test + validation below 1; received {self.test + self.validation:g}")
        return self

    @property
    def complete(self) -> bool:
        """Whether every row is a training, validation and test row, so that no row is unseen."""
        return self.kind == "complete"

    @property
    def training_share(self) -> float:
        """The share of the rows that are training rows."""
        return 1.0 if self.complete else 1 - self.test - self.validation


class Check(Settings):
    """Thresholds of `tiltyard check`."""

    rows: float = Field(0.5, gt=0, description="Relative change of the number of rows between versions.")
    missing: float = Field(0.3, ge=0, lt=1, description="Share of missing values in a column that may have some.")
    psi: float = Field(0.2, gt=0, description="Population stability index between two samples of a column.")
    ks: float = Field(0.15, gt=0, lt=1, description="Kolmogorov-Smirnov distance, for number columns.")
    chi2: float = Field(0.15, gt=0, lt=1, description="Cramer's V, from chi-square, for category columns.")
    confidence: float = Field(0.999, gt=0.5, lt=1, description="Confidence that such a distance is significant.")


class Serve(Settings):
    """Limits of the service, and an example of a request."""

    max_instances: int = Field(1000, ge=1)
    max_body_bytes: int = Field(4_000_000, ge=1000)
    example: Any = Field(description="One instance, as a client would send it.")


class Range(Settings):
    """A range from low to high, or a choice among values."""

    low: float | None = None
    high: float | None = None
    log: bool = Field(default=False, description="Sample the range on a logarithmic scale.")
    among: list[Any] | None = Field(None, description="The values; each may be a number, a text, a list, ...")

    @model_validator(mode="after")
    def _consistent(self) -> Range:
        for error in (self._range_error(), self._choice_error()):
            if error:
                raise ValueError(error)
        return self

    def _range_error(self) -> str:
        set_bounds = [name for name in ("low", "high") if getattr(self, name) is not None]
        if self.among is not None:
            received = [*set_bounds, *(["log"] if self.log else [])]
            return f"expected low and high, or among; received among and {' and '.join(received)}" if received else ""
        if self.low is None or self.high is None:
            return f"expected low and high, or among; received {set_bounds[0] if set_bounds else 'neither'}"
        if self.low >= self.high:
            return f"low: expected below high, {self.high:g}; received {self.low:g}"
        return f"low: expected above 0 with log; received {self.low:g}" if self.log and self.low <= 0 else ""

    def _choice_error(self) -> str:
        texts = [json.dumps(value, sort_keys=True) for value in self.among or ()]
        if self.among is not None and (len(texts) < 2 or len({*texts}) < len(texts)):
            return f"among: expected two or more different values; received {', '.join(texts) or 'none'}"
        return ""

    @property
    def values_to_validate(self) -> list[Any]:
        """The values to validate in the task: if they are valid, so are those between them."""
        return self.among or [integer_if_whole(end) for end in (self.low, self.high) if end is not None]

    @property
    def fraction(self) -> float:
        """A fraction within the range: if the task does not allow it, only integers are sampled."""
        middle = ((self.low or 0.0) + (self.high or 0.0)) / 2
        return middle if middle % 1 else middle + min(0.5, ((self.high or 0.0) - middle) / 2)


def integer_if_whole(number: float) -> float | int:
    """Return 3.0 as 3, since keys for integers do not accept floats."""
    return int(number) if number == int(number) else number
