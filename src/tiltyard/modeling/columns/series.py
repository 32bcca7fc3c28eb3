"""Series column: a window of past values, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import not_
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Cells, Fitted, decoded
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, between, in_set, not_null
from tiltyard.modeling.columns._cell import NaCells
from tiltyard.modeling.columns._number_format import NumberFormat
from tiltyard.modeling.columns._streamed_scale import scale_of_parts
from tiltyard.modeling.columns.base import Column, Plain, Scale, scale
from tiltyard.modeling.columns.number import Number
from tiltyard.settings import Bounds


class Series(Column):
    """A column of a time series."""

    restores: ClassVar = True

    type: Literal["series"] = "series"
    window: int = Field(ge=1, description="How many past values a forecast is based on.")
    order: str | None = Field(None, description="The raw column with the times; if unset, rows are in order of time.")
    bounds: Bounds | None = Field(None, description="Lowest and highest value allowed.")
    # A setting that is off is not written, so that encoder.json, and with it a model's version, stays the same.
    steps: Literal["equal", "rising"] = Field(
        "equal", exclude_if="equal".__eq__, description="Steps of time; calendar months count as equal."
    )
    format: str | None = Field(
        None, exclude_if=not_, description="The format of times in `order`, such as %d.%m.%Y, if not ISO 8601."
    )
    sort: bool = Field(
        False, exclude_if=not_, description="Sort the rows by time first; otherwise, rows out of order are refused."
    )
    gaps: Literal["refuse", "forward", "linear", "season"] = Field(
        "refuse",
        exclude_if="refuse".__eq__,
        description="Missing steps and values: refuse them, or fill them with the value before, on a line between, or "
        "with the value one season before. What was filled is an input, but is not forecast, in training or in tests.",
    )
    same_time: Literal["refuse", "mean", "last"] = Field(
        "refuse",
        exclude_if="refuse".__eq__,
        description="Rows with the time of the row before: refuse them, or make one row of each time, with the mean of "
        "their values or the last ones.",
    )
    written: NumberFormat | None = Field(
        None, exclude_if=not_, description="How cells are written that are no plain numbers: 1.002,66 €, 21,5 °C."
    )
    na: NaCells = None
    group: str | None = Field(None, exclude_if=not_, description="The raw column that names the series of each row.")
    season: int | None = Field(
        None, ge=1, exclude_if=not_, description="The baseline predicts the value so many steps before; 1 if unset."
    )
    log: bool = Field(False, exclude_if=not_, description="Learn from log(1 + value).")
    relative: bool = Field(
        False, exclude_if=not_, description="Learn differences from the last value, to follow a trend."
    )

    @model_validator(mode="after")
    def _check_settings(self) -> Series:
        if self.group and not self.order:
            raise ValueError("order: expected the column of times, by which groups are aligned; received none")
        if self.season and self.season > self.window:
            raise ValueError(f"season: expected at most {self.window}, the window; received {self.season}")
        if self.sort and not self.order:
            raise ValueError("order: expected the column of times, by which rows are sorted; received none")
        if self.same_time != "refuse" and not self.order:
            raise ValueError("order: expected the column of times, by which rows repeat; received none")
        if self.gaps != "refuse" and (not self.order or self.steps != "equal"):
            raise ValueError("gaps: expected a column of times in `order`, and equal steps, to fill gaps in them")
        if self.gaps == "season" and not self.season:
            raise ValueError("season: expected the steps of a season, to fill gaps by it; received none")
        return self

    @property
    def number(self) -> Number:
        """A column that reads one step."""
        return Number(written=self.written, missing="median", na=self.na)

    @property
    def parsed_as_text(self) -> bool:
        """False: series are read as numbers."""
        return False

    @property
    def plain(self) -> Plain | None:
        """Bounds and shape of windows; None if logarithms are learned."""
        return (
            None
            if self.log or self.written
            else Plain(*Number(bounds=self.bounds).limits, (self.window,), (self.window, 1))
        )

    def naive(self, windows: Array, horizon: int) -> Array:
        """Return the naive forecast for each step: the last value, or the value one season before."""
        season = self.season or 1
        return windows[:, [self.window - season + step % season for step in range(horizon)]]

    def expectations(self, name: str) -> list[Expectation]:
        """Expect a value within the bounds in every row, and times in equal or rising steps."""
        gaps = in_set("gap", [1.0]) if self.steps == "equal" else between("gap", (1e-6, 1e12))
        times = [not_null(self.order), gaps] if self.order else []
        return [*times, not_null(name), *([between(name, self.bounds)] if self.bounds else [])]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return cells as numbers: each is one time step; windows are formed later."""
        return self.number.read(cells) if self.written else Number().read(cells)

    @property
    def in_cells(self) -> bool:
        """False, since a cell holds one step, not a window."""
        return False

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse windows; refuse other values than lists of `window` finite numbers within the bounds."""
        number = Number(bounds=self.bounds, log=self.log, written=self.written)
        values = [self.number.read(value) if self._has_texts(value) else value for value in values]  # type: ignore[arg-type]
        for i, value in enumerate(values):
            field = f"instances[{i}].{name}"
            if not isinstance(value, list):
                raise RequestError("wrong_type", f"expected a list of numbers; received {format_value(value)}", field)
            if len(value) != self.window:
                raise RequestError("wrong_shape", f"expected {self.window} numbers; received {len(value)}", field)
            self._check(number, value, name, field)
        return np.array(values, dtype=np.float64)

    def _has_texts(self, value: object) -> bool:
        return self.written is not None and isinstance(value, list) and any(isinstance(step, str) for step in value)

    def _check(self, number: Number, value: list[object], name: str, field: str) -> None:
        try:
            number.parse(value, name)
        except RequestError as error:
            index = error.field[len("instances") : error.field.index("]") + 1]
            raise RequestError(error.code, error.message, field + index) from None

    def fit(self, values: Array) -> Fitted:
        """Learn mean and standard deviation of all values."""
        mean, std = scale(self._transformed(values))
        return {"mean": mean, "std": std}

    def fit_parts(self, parts: Iterable[Cells]) -> Fitted:
        """Learn the same from windows that come in chunks."""
        mean, std = scale_of_parts(self._transformed(decoded(part)) for part in parts)
        return {"mean": mean, "std": std}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return windows as float32, with one channel."""
        return self._transformed(values).astype(np.float32)[:, :, None]

    def _transformed(self, values: Array) -> Array:
        logarithms: Array = np.log1p(values) if self.log else values
        return logarithms

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return one scaling for all steps."""
        return [(fitted["mean"], fitted["std"])]

    def restore(self, features: Array, fitted: Fitted) -> list[Any]:
        """Return lists of numbers, which may be outside of the bounds."""
        return self.to_json(np.expm1(features) if self.log else features)

    def restored_schema(self) -> dict[str, Any]:
        """Return the schema: a list of numbers."""
        return {"type": "array", "items": {"type": "number"}, "minItems": self.window, "maxItems": self.window}

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: a list of `window` numbers."""
        item = Number(bounds=self.bounds, log=self.log, written=self.written).json_schema()
        return {"type": "array", "items": item, "minItems": self.window, "maxItems": self.window}

    def to_json(self, values: Array) -> list[Any]:
        """Return lists of numbers."""
        result: list[Any] = values.tolist()
        return result
