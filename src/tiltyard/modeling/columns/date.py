"""Date column in a given format: encoded as days, year and cyclic features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Cells, Fitted, is_missing, stack_columns
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, matches_regex, not_null
from tiltyard.modeling.columns._cell import MISSING, CellColumn
from tiltyard.modeling.columns._datetime_format import DatetimeFormat
from tiltyard.modeling.columns.base import PLAIN, Scale, distinct, require_values, scale, tidy

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

USUAL = "%Y-%m-%d"  # the only format that JSON Schema defines
FEW = 1000  # rows

Span = Annotated[tuple[str, str], Field(strict=False)]


class Date(CellColumn):
    """A column of dates, or of times of day if the format has no date."""

    seconds_a_byte: ClassVar[float] = 1e-6

    type: Literal["date"] = "date"
    format: str = Field(USUAL, description="The format, of %Y %y %m %b %B %d %H %I %p %M %S %f %z; months in English.")
    bounds: Span | None = Field(None, description="First and last date allowed, in the same format.")
    missing: Literal["refuse", "median"] = Field(
        "refuse",
        description="What to do with null or an empty cell: refuse it, or take the training rows' median and flag it.",
    )

    @model_validator(mode="after")
    def _check_settings(self) -> Date:
        DatetimeFormat(self.format)  # raises ValueError for an invalid format
        first, last = self._limits
        if first is None or last is None or first >= last:
            raise ValueError(f"bounds: expected two dates as {self.format}, earlier first; received {self.bounds}")
        return self

    @property
    def _datetime_format(self) -> DatetimeFormat:
        return DatetimeFormat(self.format)

    @property
    def _limits(self) -> tuple[datetime | None, datetime | None]:
        if self.bounds is None:
            return datetime.min, datetime.max  # noqa: DTZ901 - all datetimes are in UTC, or all are in local time
        return self._datetime_format.read(self.bounds[0]), self._datetime_format.read(self.bounds[1])

    def expectations(self, name: str) -> list[Expectation]:
        """Expect dates in the format, in every row unless they may be missing."""
        in_format = matches_regex(name, f"^{self._datetime_format.pattern}$")
        return [*([not_null(name)] if self.missing == "refuse" else []), in_format]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return every cell as text."""
        texts = [None if is_missing(cell) else str(cell).strip() for cell in cells]
        words = self.na_texts
        return [None if text in words else text for text in texts] if words else [*texts]

    def seconds(self, values: Sequence[object]) -> float:
        """Estimate the seconds to parse values: each is matched with the format."""
        return 8e-6 * len(values)

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse dates in the format; refuse other texts, and dates out of bounds."""
        datetime_format, (first, last), moments = self._datetime_format, self._limits, []
        words = {*self.na_texts, *MISSING} if self.missing == "median" else set()
        for i, value in enumerate(values):
            value = None if isinstance(value, str) and value.strip() in words else value  # noqa: PLW2901
            moment = datetime_format.read(value) if isinstance(value, str) else None
            field = f"instances[{i}].{name}"
            if moment is None and not (value is None and self.missing == "median"):
                code = "bad_date" if isinstance(value, str) else "wrong_type"
                raise RequestError(code, f"expected a date as {self.format}; received {format_value(value)}", field)
            if moment and first and last and not first <= moment <= last:
                message = f"expected {' to '.join(self.bounds or ())}; received {format_value(value)}"
                raise RequestError("out_of_bounds", message, field)
            moments.append(moment)
        return np.array(moments, dtype="datetime64[us]")

    def facts_of_cells(self, cells: pd.Series) -> pd.Series:
        """Return the texts unchanged."""
        return cells if tidy(cells) and not self.na else super().facts_of_cells(cells)

    def parse_cells(self, cells: pd.Series, name: str) -> Array:
        """Parse all dates at once if all have full length and are valid; otherwise one by one, for the error."""
        if tidy(cells) and not self.na and (distinct_cells := distinct(cells)):
            indices, values = distinct_cells
            present = np.array([isinstance(value, str) for value in values], dtype=bool)
            moments = np.full(len(values), "NaT", dtype="datetime64[us]")
            moments[present] = self._datetime_format.read_all([value for value in values if isinstance(value, str)])
            if self._valid(moments, present):
                return moments[indices]
        return super().parse_cells(cells, name)

    def parse_arrow(self, cells: pa.Array, name: str) -> Cells | None:
        """Parse all dates at once; None unless all have full length and are valid."""
        if self.na:
            return super().parse_arrow(cells, name)
        present = cells.is_valid().to_numpy(zero_copy_only=False)
        moments = np.full(len(cells), "NaT", dtype="datetime64[us]")
        moments[present] = self._datetime_format.read_arrow(cells.drop_null())
        return moments if self._valid(moments, present) else None

    def _valid(self, moments: Array, present: Array) -> bool:
        """Return whether all moments are within the bounds, or missing if the settings allow it."""
        first, last = (np.datetime64(limit, "us") for limit in self._limits)
        in_bounds = (moments >= first) & (moments <= last)
        return bool((in_bounds | ~present if self.missing == "median" else in_bounds).all())

    def fit(self, values: Array) -> Fitted:
        """Learn the first and the median date, and the scale of days and years."""
        integers = require_values(values[~np.isnat(values)]).view(np.int64)  # which are sorted ten times faster
        present = np.sort(integers).view(values.dtype)
        fitted: Fitted = {"first": str(present[0]), "median": str(present[len(present) // 2])}
        imputed = _imputed(values, fitted)
        features = [_days_passed(imputed, fitted), *_features_by_day(lambda days: [_years(days)], imputed)]
        scales = [scale(feature) for feature in features]
        return {**fitted, "mean": [mean for mean, _ in scales], "std": [std for _, std in scales]}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return days since the first training date, the year, the cycles, and a flag if values may be missing."""
        imputed = _imputed(values, fitted)
        day_cycles = [name for name in self._cycles if name != "day"]
        by_day = _features_by_day(lambda moments: [_years(moments), *_cyclic_features(day_cycles, moments)], imputed)
        by_time = _cyclic_features(["day"], imputed) if "day" in self._cycles else []
        flags = [np.isnat(values)] if self.missing == "median" else []
        return stack_columns([_days_passed(imputed, fitted), *by_day, *by_time, *flags])

    @property
    def _cycles(self) -> list[str]:
        """Return the cycles that the format determines: the time of day only if it has hours."""
        letters = self._datetime_format.letters
        return [name for name, any_of in (("year", "mbB"), ("week", "d"), ("day", "HI")) if letters & set(any_of)]

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return the scaling of days and years; cycles and flag are not scaled."""
        unscaled = 2 * len(self._cycles) + (self.missing == "median")
        return [*zip(fitted["mean"], fitted["std"], strict=True), *[PLAIN] * unscaled]

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: text in the format."""
        json_type = "string" if self.missing == "refuse" else ["string", "null"]
        description = f"{self.format}, {' to '.join(self.bounds)}" if self.bounds else self.format
        standard_format = {"format": "date"} if self.format == USUAL else {}
        pattern = f"^{self._datetime_format.pattern}$"
        return {"type": json_type, "pattern": pattern, **standard_format, "description": description}

    def to_json(self, values: Array) -> list[Any]:
        """Return text in the format, and null for missing dates."""
        datetime_format = self._datetime_format
        return [None if moment is None else datetime_format.format(moment) for moment in values.tolist()]


def _imputed(values: Array, fitted: Fitted) -> Array:
    return np.where(np.isnat(values), np.datetime64(fitted["median"], "us"), values)


def _days_passed(moments: Array, fitted: Fitted) -> Array:
    """Return the days since the first training date."""
    days: Array = (moments - np.datetime64(fitted["first"], "us")) / np.timedelta64(1, "D")
    return days


def _years(moments: Array) -> Array:
    years: Array = moments.astype("datetime64[Y]").astype(np.int64) + 1970.0
    return years


def _cyclic_features(cycles: list[str], moments: Array) -> list[Array]:
    return [function(2 * np.pi * CYCLES[name](moments)) for name in cycles for function in (np.sin, np.cos)]


def _features_by_day(features: Callable[[Array], list[Array]], moments: Array) -> list[Array]:
    """Return features that depend only on the date; compute them once for each day if there are many rows."""
    if len(moments) < FEW:
        return features(moments)
    days = _days(moments).astype(np.int64)
    first, last = days.min(), days.max()
    if last - first >= len(moments):
        return features(moments)
    calendar = np.arange(first, last + 1).astype("datetime64[D]").astype(moments.dtype)
    return [feature.take(days - first) for feature in features(calendar)]


def _days(moments: Array) -> Array:
    return moments.astype("datetime64[D]")


# The share of a cycle that has passed, from 0 to 1. The first day of 1970 was a Thursday.
CYCLES: dict[str, Callable[[Array], Array]] = {
    "year": lambda moments: moments.astype("datetime64[M]").astype(np.int64) % 12 / 12,
    "week": lambda moments: (_days(moments).astype(np.int64) + 3) % 7 / 7,
    "day": lambda moments: (moments - _days(moments)) / np.timedelta64(1, "D"),
}
