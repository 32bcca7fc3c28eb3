"""How a table is joined to the main table: by key or time, and what happens to rows without a match."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from tiltyard.data.tables.dialect import Dialect
from tiltyard.modeling.columns._datetime_format import DatetimeFormat
from tiltyard.settings import Settings

AGE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|min|h|d|w)")
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
TIME_ONLY = ("max_age", "same_time", "forward_fill", "duplicates", "format")


class JoinRule(Settings):
    """The keys of a join that say how rows are matched."""

    key: str | list[str] | dict[str, str] | None = Field(
        None,
        description="The columns whose values must be equal, unique in the joined table: a name, several, or "
        "{name in the main table: name in the joined one}.",
    )
    time: str | dict[str, str] | None = Field(
        None,
        description="The column of times, or {name in the main table: name in the joined one}: each row gets the "
        "latest joined row that is not later; with `key`, among those with equal keys.",
    )
    unmatched: Literal["missing", "drop", "refuse"] = Field(
        description="What happens to rows without a match: missing keeps them without values (a left join), drop "
        "leaves them out (an inner join), refuse stops the pipeline."
    )
    columns: list[str] | None = Field(
        None, min_length=1, description="The columns to take; all but those of `key` and `time` if unset."
    )
    prefix: str = Field("", description="Put before the names of joined columns, if the tables share names.")
    match: Literal["text", "number"] | None = Field(
        None,
        description="How keys of different types are compared: text, as written (01 is not 1), or number (01 is 1). If "
        "unset, different types are refused.",
    )
    max_age: float | str | None = Field(
        None,
        description="The oldest value to take: a number in the unit of the column, or for dates such as 90s, 15min, "
        "2h, 7d, 4w. Older rows do not match.",
    )
    same_time: bool = Field(default=True, description="Whether a joined row of exactly the same time matches.")
    forward_fill: bool = Field(
        default=False, description="Whether a missing cell of a joined row is filled with the last value before it."
    )
    duplicates: Literal["refuse", "last"] = Field(
        "refuse",
        description="What happens if joined rows have the same time (and key): last takes the last in the file.",
    )
    format: str | None = Field(
        None, description="The format of times in either table, such as %d.%m.%Y, if not ISO 8601 or numbers."
    )

    @property
    def dialect(self) -> Dialect:
        """The dialect of the joined table."""
        return Dialect()

    @property
    def keys(self) -> dict[str, str]:
        """The name of each key in the main table, with that in the joined one."""
        names = [self.key] if isinstance(self.key, str) else self.key or {}
        return dict(names) if isinstance(names, dict) else {name: name for name in names}

    @property
    def times(self) -> tuple[str, str] | None:
        """The names of the column of times in the main and in the joined table."""
        if isinstance(self.time, dict):
            ((main, joined),) = self.time.items()
            return main, joined
        return (self.time, self.time) if self.time else None

    @property
    def sentence(self) -> str:
        """How rows are matched, and what happens to the others, for readers of reports and cards."""
        pairs = [*self.keys.items(), *([self.times] if self.times else [])]
        names = [main if main == joined else f"{main} = {joined}" for main, joined in pairs]
        latest = " (the latest that is not later)" if self.times else ""
        rest = {"missing": "keep missing values", "drop": "are left out", "refuse": "are refused"}[self.unmatched]
        return f"by {', '.join(names)}{latest}; rows without a match {rest}"

    @property
    def seconds(self) -> float | None:
        """The maximum age in seconds, if it is a duration."""
        match = AGE.fullmatch(self.max_age) if isinstance(self.max_age, str) else None
        return float(match[1]) * SECONDS[match[2]] if match else None

    @model_validator(mode="after")
    def _consistent(self) -> JoinRule:
        for error in (self._column_error(), self._time_error()):
            if error:
                raise ValueError(error)
        return self

    def _column_error(self) -> str:
        if not self.keys and not self.time:
            return "expected key, time, or both; received neither"
        if isinstance(self.key, list) and len(set(self.key)) < len(self.key):
            return f"key: expected different columns; received {', '.join(self.key)}"
        if len(set(self.keys.values())) < len(self.keys):
            return f"key: expected different columns of the joined table; received {', '.join(self.keys.values())}"
        if self.columns and len(set(self.columns)) < len(self.columns):
            return f"columns: expected different columns; received {', '.join(self.columns)}"
        return "match: expected only with key; received it without" if self.match and not self.keys else ""

    def _time_error(self) -> str:
        if isinstance(self.time, dict) and len(self.time) != 1:
            return f"time: expected one column; received {', '.join(self.time) or 'none'}"
        if not self.time:
            changed = [name for name in TIME_ONLY if getattr(self, name) != type(self).model_fields[name].default]
            return f"{changed[0]}: expected only with time; received {getattr(self, changed[0])}" if changed else ""
        if isinstance(self.max_age, str) and not AGE.fullmatch(self.max_age):
            return f"max_age: expected a number, or one with s, min, h, d or w such as 15min; received {self.max_age}"
        if isinstance(self.max_age, float | int) and self.max_age < 0:
            return f"max_age: expected 0 or more; received {self.max_age:g}"
        if self.format:
            DatetimeFormat(self.format)
        return ""
