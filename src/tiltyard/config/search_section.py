"""The `search:` section of a task file: which values of which keys are tried while the best are looked for."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, model_validator

from tiltyard.settings import Settings


class Range(Settings):
    """From low to high, or one among several."""

    low: float | None = None
    high: float | None = None
    log: bool = Field(default=False, description="Try as many values between 0.001 and 0.01 as between 0.01 and 0.1.")
    among: list[Any] | None = Field(None, description="The values; each may be a number, a word, a list, ...")

    @model_validator(mode="after")
    def _consistent(self) -> Range:
        for complaint in (self._ends(), self._values()):
            if complaint:
                raise ValueError(complaint)
        return self

    def _ends(self) -> str:
        given = [name for name in ("low", "high") if getattr(self, name) is not None]
        if self.among is not None:
            told = [*given, *(["log"] if self.log else [])]
            return f"expected low and high, or among; received among and {' and '.join(told)}" if told else ""
        if self.low is None or self.high is None:
            return f"expected low and high, or among; received {given[0] if given else 'neither'}"
        if self.low >= self.high:
            return f"low: expected below high, {self.high:g}; received {self.low:g}"
        return f"low: expected above 0 with log; received {self.low:g}" if self.log and self.low <= 0 else ""

    def _values(self) -> str:
        spelled = [json.dumps(value, sort_keys=True) for value in self.among or ()]
        if self.among is not None and (len(spelled) < 2 or len({*spelled}) < len(spelled)):
            return f"among: expected two values or more, each once; received {', '.join(spelled) or 'none'}"
        return ""

    @property
    def checked(self) -> list[Any]:
        """The values that must fit into the task file: if they do, those between them do."""
        return self.among or [plain(end) for end in (self.low, self.high) if end is not None]

    @property
    def broken(self) -> float:
        """A value between the ends that is no whole number: where it is refused, whole numbers are meant."""
        middle = ((self.low or 0.0) + (self.high or 0.0)) / 2
        return middle if middle % 1 else middle + min(0.5, ((self.high or 0.0) - middle) / 2)


def plain(number: float) -> float | int:
    """Return 3.0 as 3: a key that takes whole numbers takes no other."""
    return int(number) if number == int(number) else number
