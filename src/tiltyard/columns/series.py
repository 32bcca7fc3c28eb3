"""The last values of a series, oldest first: the window a forecast is made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.column import Array, Column, Fitted, Scale, scale, shown
from tiltyard.columns.number import Number
from tiltyard.errors import RequestError
from tiltyard.expectation import Expectation, among, between, present
from tiltyard.strict import Bounds


class Series(Column):
    """A column whose rows follow each other in time."""

    spelled: ClassVar = False

    type: Literal["series"] = "series"
    window: int = Field(ge=1, description="How many values a forecast looks back on.")
    order: str = Field(description="The raw column that holds the time; it must rise by equal steps.")
    bounds: Bounds | None = Field(None, description="Lowest and highest value allowed.")

    def expectations(self, name: str) -> list[Expectation]:
        """A value at every step, within the bounds; times that rise by equal steps."""
        steps = [present(self.order), among("gap", [1.0])]
        return [*steps, present(name), *([between(name, self.bounds)] if self.bounds else [])]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Give numbers: a cell is one step, of which windows are made later."""
        return Number().read(cells)

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Refuse what is no list of `window` finite numbers within the bounds."""
        number = Number(bounds=self.bounds)
        for i, value in enumerate(values):
            field = f"instances[{i}].{name}"
            if not isinstance(value, list):
                raise RequestError("wrong_type", f"expected a list of numbers; received {shown(value)}", field)
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
        mean, std = scale(values)
        return {"mean": mean, "std": std}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Give windows as float32, with one channel."""
        return values.astype(np.float32)[:, :, None]

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """One for all steps."""
        return [(fitted["mean"], fitted["std"])]

    def json_schema(self) -> dict[str, Any]:
        """A list of `window` numbers."""
        item = Number(bounds=self.bounds).json_schema()
        return {"type": "array", "items": item, "minItems": self.window, "maxItems": self.window}

    def to_json(self, values: Array) -> list[Any]:
        """Lists of numbers."""
        result: list[Any] = values.tolist()
        return result
