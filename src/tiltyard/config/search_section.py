"""The `search:` section of a task file: the search space of a hyperparameter search."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, model_validator

from tiltyard.settings import Settings


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
