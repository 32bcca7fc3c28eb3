"""A number, with bounds if the task gives them; it is scaled inside the model, so encoding leaves it as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.column import Array, Column, Fitted
from tiltyard.errors import RequestError
from tiltyard.expectation import Expectation, between, present
from tiltyard.strict import Bounds

LARGEST = 3.4028234e38  # what float32, the model's type, can hold


class Number(Column):
    """A column of finite numbers."""

    type: Literal["number"] = "number"
    bounds: Bounds | None = Field(None, description="Lowest and highest value allowed.")
    unit: str = Field("", description="For people: what one is.")

    @model_validator(mode="after")
    def _ordered(self) -> Number:
        if self.bounds and self.bounds[0] >= self.bounds[1]:
            raise ValueError(f"bounds: expected the lower one first; received {list(self.bounds)}")
        return self

    def expectations(self, name: str) -> list[Expectation]:
        """A value in every row, within the bounds."""
        return [present(name), *([between(name, self.bounds)] if self.bounds else [])]

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Refuse what is no finite number within the bounds."""
        for i, value in enumerate(values):
            if type(value) is not float and type(value) is not int:
                raise RequestError("wrong_type", f"expected a number; received {value!r}", f"instances[{i}].{name}")
            self._check(_finite(value), f"instances[{i}].{name}")
        return np.array(values, dtype=np.float64)

    def _check(self, value: float, field: str) -> None:
        if not math.isfinite(value):
            raise RequestError("not_finite", "expected a finite number", field)
        if abs(value) > LARGEST:
            raise RequestError("out_of_bounds", f"expected at most {LARGEST:g}, either sign; received {value:g}", field)
        if self.bounds and not self.bounds[0] <= value <= self.bounds[1]:
            low, high = self.bounds
            raise RequestError("out_of_bounds", f"expected {low:g} to {high:g}; received {value:g}", field)

    def fit(self, values: Array) -> Fitted:
        """Learn mean and standard deviation; a constant column gets 1, so that scaling divides by no zero."""
        return {"mean": float(values.mean()), "std": float(values.std()) or 1.0}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Give one float32 a row."""
        return values.astype(np.float32)[:, None]

    def json_schema(self) -> dict[str, Any]:
        """A number within its bounds."""
        low, high = self.bounds or (None, None)
        limits = {} if self.bounds is None else {"minimum": low, "maximum": high}
        return {"type": "number", **limits, **({"description": self.unit} if self.unit else {})}

    def to_json(self, values: Array) -> list[Any]:
        """Plain numbers."""
        return [float(value) for value in values]


def _finite(value: float) -> float:
    """Turn a whole number too large for a float into infinity, which is refused like any other."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
