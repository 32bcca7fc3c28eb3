"""One of a few known values, one-hot encoded; a value never seen is refused, or gets a place of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tiltyard.column import Array, Column, Fitted
from tiltyard.errors import RequestError
from tiltyard.expectation import Expectation, among, present

LONGEST = 1000  # characters: numpy gives every row of a request the room of the longest one


class Category(Column):
    """A column of names or codes."""

    type: Literal["category"] = "category"
    values: list[str | int] = Field(min_length=1, description="The values that may occur.")
    unseen: Literal["refuse", "bucket"] = Field(
        "refuse", description="What to do with any other value when serving: refuse it, or treat all such as one."
    )

    @property
    def names(self) -> list[str]:
        """The values as text, since a CSV file does not tell 1 from '1'."""
        return [str(value) for value in self.values]

    def expectations(self, name: str) -> list[Expectation]:
        """A value in every row, and a known one if others are refused."""
        return [present(name), *([among(name, self.names)] if self.unseen == "refuse" else [])]

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Refuse a value that is not in the list, unless the column keeps a bucket for such."""
        for i, value in enumerate(values):
            field = f"instances[{i}].{name}"
            if type(value) is not str and type(value) is not int:
                raise RequestError("wrong_type", f"expected text or a whole number; received {value!r}", field)
            if type(value) is str and len(value) > LONGEST:
                raise RequestError("too_long", f"expected at most {LONGEST} characters; received {len(value)}", field)
            if self.unseen == "refuse" and str(value) not in self.names:
                raise RequestError("unseen", f"expected one of {', '.join(self.names)}; received {value!r}", field)
        return np.array([str(value) for value in values], dtype=np.str_)

    def fit(self, values: Array) -> Fitted:
        """Nothing: the task names the values."""
        return {}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Give a column of 0 and 1 for each value, and one more for unseen ones if they have a bucket."""
        known = values[:, None] == np.array(self.names)[None, :]
        if self.unseen == "bucket":
            known = np.hstack([known, ~known.any(axis=1, keepdims=True)])
        encoded: Array = known.astype(np.float32)
        return encoded

    def json_schema(self) -> dict[str, Any]:
        """One of the values."""
        return {"enum": self.values} if self.unseen == "refuse" else {"type": ["string", "integer"]}

    def to_json(self, values: Array) -> list[Any]:
        """The values as the task spells them."""
        spelled: dict[str, str | int] = dict(zip(self.names, self.values, strict=True))
        return [spelled.get(str(value), str(value)) for value in values]
