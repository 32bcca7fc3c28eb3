"""Series column: a window of past values, oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from operator import not_
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Fitted
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, between, in_set, not_null
from tiltyard.modeling.columns.base import Column, Plain, Scale, scale
from tiltyard.modeling.columns.number import Number
from tiltyard.settings import Bounds


class Series(Column):
    """A column whose rows follow each other in time."""

    spelled: ClassVar = False

    type: Literal["series"] = "series"
    window: int = Field(ge=1, description="How many values a forecast looks back on.")
    order: str | None = Field(None, description="The raw column that holds the time; that of the rows if unset.")
    bounds: Bounds | None = Field(None, description="Lowest and highest value allowed.")
    # A setting that is off is not written: encoder.json, and with it a model's version, is what it was before.
    steps: Literal["equal", "rising"] = Field(
        "equal", exclude_if="equal".__eq__, description="How time must go on: calendar months count as equal."
    )
    format: str | None = Field(
        None, exclude_if=not_, description="How `order` spells a time, such as %d.%m.%Y, if not as ISO does."
    )
    group: str | None = Field(None, exclude_if=not_, description="The raw column that tells series from each other.")
    season: int | None = Field(
        None, ge=1, exclude_if=not_, description="The baseline answers the value so many steps before; 1 if unset."
    )
    log: bool = Field(False, exclude_if=not_, description="Learn from log(1 + value).")
    relative: bool = Field(
        False, exclude_if=not_, description="Learn changes from the last value, so that a trend may leave its range."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Series:
        if self.group and not self.order:
            raise ValueError("order: expected the column of times, by which groups are put together; received none")
        if self.season and self.season > self.window:
            raise ValueError(f"season: expected at most {self.window}, the window; received {self.season}")
        return self

    @property
    def plain(self) -> Plain | None:
        """Windows of numbers as they are, unless logarithms are asked for."""
        return None if self.log else Plain(*Number(bounds=self.bounds).limits, (self.window,), (self.window, 1))

    def naive(self, windows: Array, horizon: int) -> Array:
        """Return what the baseline answers for each step ahead: the last value, or that of a season before."""
        season = self.season or 1
        return windows[:, [self.window - season + step % season for step in range(horizon)]]

    def expectations(self, name: str) -> list[Expectation]:
        """A value at every step, within the bounds; times that rise by equal steps."""
        gaps = in_set("gap", [1.0]) if self.steps == "equal" else between("gap", (1e-6, 1e12))
        times = [not_null(self.order), gaps] if self.order else []
        return [*times, not_null(name), *([between(name, self.bounds)] if self.bounds else [])]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return numbers: a cell is one step, of which windows are made later."""
        return Number().read(cells)

    @property
    def in_cells(self) -> bool:
        """A cell is less, or no place for it."""
        return False

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Refuse what is no list of `window` finite numbers within the bounds."""
        number = Number(bounds=self.bounds, log=self.log)
        for i, value in enumerate(values):
            field = f"instances[{i}].{name}"
            if not isinstance(value, list):
                raise RequestError("wrong_type", f"expected a list of numbers; received {format_value(value)}", field)
            if len(value) != self.window:
                raise RequestError("wrong_shape", f"expected {self.window} numbers; received {len(value)}", field)
            self._check(number, value, name, field)
        return np.array(values, dtype=np.float64)

    def _check(self, number: Number, value: list[object], name: str, field: str) -> None:
        try:
            number.parse(value, name)
        except RequestError as error:
            place = error.field[len("instances") : error.field.index("]") + 1]
            raise RequestError(error.code, error.message, field + place) from None

    def fit(self, values: Array) -> Fitted:
        """Learn mean and standard deviation over all windows."""
        mean, std = scale(self._learned(values))
        return {"mean": mean, "std": std}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return windows as float32, with one channel."""
        return self._learned(values).astype(np.float32)[:, :, None]

    def _learned(self, values: Array) -> Array:
        logarithms: Array = np.log1p(values) if self.log else values
        return logarithms

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """One for all steps."""
        return [(fitted["mean"], fitted["std"])]

    def json_schema(self) -> dict[str, Any]:
        """A list of `window` numbers."""
        item = Number(bounds=self.bounds, log=self.log).json_schema()
        return {"type": "array", "items": item, "minItems": self.window, "maxItems": self.window}

    def to_json(self, values: Array) -> list[Any]:
        """Lists of numbers."""
        result: list[Any] = values.tolist()
        return result
