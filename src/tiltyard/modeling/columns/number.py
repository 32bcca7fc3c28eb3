"""Numeric column: encoding only imputes, clips or takes the logarithm if configured; scaling is part of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import not_
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Cells, Fitted, is_missing, stack_columns
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation, between, not_null
from tiltyard.modeling.columns._cell import MISSING, CellColumn
from tiltyard.modeling.columns._number_format import NumberFormat
from tiltyard.modeling.columns.base import PLAIN, Plain, Scale, require_values, scale
from tiltyard.settings import Bounds

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LARGEST = 3.4028234e38  # the largest value of float32, the model's type


class Number(CellColumn):
    """A column of finite numbers."""

    restores: ClassVar = True

    type: Literal["number"] = "number"
    bounds: Bounds | None = Field(None, description="Lowest and highest value allowed.")
    unit: str = Field("", description="The unit, shown to people.")
    # A setting that is off is not written, so that encoder.json, and with it a model's version, stays the same.
    missing: Literal["refuse", "median"] = Field(
        "refuse",
        exclude_if="refuse".__eq__,
        description="What to do with null or an empty cell: refuse it, or take the training rows' median and flag it.",
    )
    clip: Bounds | None = Field(
        None, exclude_if=not_, description="Quantiles of the training rows, such as [0.01, 0.99], to clip values to."
    )
    log: bool = Field(False, exclude_if=not_, description="Learn from log(1 + value): for skewed numbers.")
    written: NumberFormat | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="How cells are written that are no plain numbers: 1.002,66 €, (12), 5 %, 1h 20m.",
    )

    @model_validator(mode="after")
    def _check_settings(self) -> Number:
        if self.bounds and self.bounds[0] >= self.bounds[1]:
            raise ValueError(f"bounds: expected the lower one first; received {list(self.bounds)}")
        if self.clip and not 0 <= self.clip[0] < self.clip[1] <= 1:
            raise ValueError(f"clip: expected two quantiles from 0 to 1, the lower first; received {list(self.clip)}")
        if self.log and self.limits[0] < 0:
            raise ValueError(f"log: expected bounds of at least 0; received {self.limits[0]:g}")
        return self

    @property
    def parsed_as_text(self) -> bool:
        """Whether cells are read as text, because they are not written as plain numbers."""
        return self.written is not None

    @property
    def limits(self) -> Bounds:
        """The lowest and the highest value that is accepted."""
        low, high = self.bounds or (0.0 if self.log else -LARGEST, LARGEST)
        return max(low, -LARGEST), min(high, LARGEST)

    @property
    def plain(self) -> Plain | None:
        """Bounds of the numbers; None if a setting changes or replaces values."""
        changed = self.missing == "median" or self.clip or self.log or self.written or self.na
        return None if changed else Plain(*self.limits)

    def expectations(self, name: str) -> list[Expectation]:
        """Expect values within the bounds, in every row unless they may be missing."""
        bounded = self.bounds or self.log
        return [
            *([not_null(name)] if self.missing == "refuse" else []),
            *([between(name, self.limits)] if bounded else []),
        ]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return cells as numbers where they can be read as such."""
        if self.na or self.written:
            return self._with_nulls(
                [self._from_text(cell) if isinstance(cell, str) else _number(cell) for cell in cells]
            )
        if set(map(type, cells)) == {float}:  # a column without text: ten times faster
            return [None if cell != cell else cell for cell in cells]  # noqa: PLR0124 - NaN
        return [cell if type(cell) is int else _number(cell) for cell in cells]

    def _from_text(self, text: str) -> object:
        """Return the number in a text, None if it means a missing value, or the text if it is neither."""
        bare = text.strip()
        if not bare or bare in self.na_texts or bare in MISSING:
            return None
        if not self.written:
            return _number(text)
        number = self.written.read(bare)
        return text if number is None else number

    def _with_nulls(self, values: Sequence[object]) -> list[object]:
        """Return the values with None for the numbers that mean a missing value."""
        codes = set(self.na_numbers)
        return [None if type(value) in (int, float) and value in codes else value for value in values]

    def facts(self, cells: Sequence[object]) -> list[Any]:
        """Return numbers, with other values as missing, so that validation reports their rows."""
        return [value if type(value) in (float, int) else None for value in self.read(cells)]

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse numbers; refuse other values, and numbers out of bounds."""
        allowed = {float, int, NoneType} if self.missing == "median" else {float, int}
        values = self._meant(values)
        if not allowed.issuperset(map(type, values)):
            i = next(i for i, value in enumerate(values) if type(value) not in allowed)
            expected = f"a number, or a text such as {self.written.example}" if self.written else "a number"
            message = f"expected {expected}; received {format_value(values[i])}"
            raise RequestError("wrong_type", message, f"instances[{i}].{name}")
        numbers, (low, high) = _floats(values), self.limits
        for i in np.flatnonzero(~((numbers >= low) & (numbers <= high))).tolist():  # NaN is refused here, too
            if values[i] is not None:
                self._refuse(float(numbers[i]), f"instances[{i}].{name}")
        return numbers

    def _meant(self, values: Sequence[object]) -> Sequence[object]:
        """Convert the texts of a request that are written as in a file, if not all cells of a file are numbers."""
        if (self.written or self.na or self.missing == "median") and any(type(value) is str for value in values):
            values = [self._from_text(value) if isinstance(value, str) else value for value in values]
        return self._with_nulls(values) if self.na else values

    def facts_of_cells(self, cells: pd.Series) -> pd.Series:
        """Return numbers unchanged, except those that mean a missing value."""
        if cells.dtype.kind in "if":
            return cells.mask(cells.isin(self.na_numbers)) if self.na else cells
        if self.written and (numbers := self._numbers_of_texts(cells)) is not None:
            return numbers
        return super().facts_of_cells(cells)

    def _numbers_of_texts(self, cells: pd.Series) -> pd.Series | None:
        """Return a whole column of texts as numbers; None if a cell has to be looked at by itself."""
        import pandas as pd
        import pyarrow as pa

        if not isinstance(cells.dtype, pd.StringDtype):
            return None
        numbers = self._read_texts(pa.array(cells, pa.string()))
        return None if numbers is None else pd.Series(numbers, index=cells.index)

    def _read_texts(self, cells: pa.Array) -> Array | None:
        """Read texts in the declared format, with NaN for missing ones; None if one is in another format."""
        import pyarrow as pa
        import pyarrow.compute as pc

        assert self.written  # noqa: S101 - for the type checker: callers test it
        words = pa.array(sorted({"", *self.na_texts, *MISSING}), pa.string())
        bare = pc.utf8_trim_whitespace(cells)
        present = pc.if_else(pc.is_in(bare, words), None, bare)
        numbers = self.written.read_arrow(present)
        return None if numbers is None else self._without_codes(numbers)

    def _without_codes(self, numbers: Array) -> Array:
        """Return the numbers with NaN for those that mean a missing value."""
        return np.where(np.isin(numbers, self.na_numbers), np.nan, numbers) if self.na else numbers

    def parse_cells(self, cells: pd.Series, name: str) -> Array:
        """Check all numbers at once; if any is invalid, check one by one for the error."""
        if cells.dtype.kind in "if":
            numbers = self._without_codes(cells.to_numpy(np.float64))
            if self._valid(numbers):
                return _one_nan(numbers)
        return super().parse_cells(cells, name)

    def parse_arrow(self, cells: pa.Array, name: str) -> Cells | None:
        """Check all numbers at once; None if any is invalid."""
        numbers = self._arrow_numbers(cells)
        if numbers is None:
            return super().parse_arrow(cells, name)
        return _one_nan(numbers) if self._valid(numbers) else None

    def _arrow_numbers(self, cells: pa.Array) -> Array | None:
        from pyarrow import types

        if self.written and types.is_string(cells.type):
            return self._read_texts(cells)
        numbers = arrow_numbers(cells)
        return None if numbers is None else self._without_codes(numbers)

    def _valid(self, numbers: Array) -> bool:
        low, high = self.limits
        valid = (numbers >= low) & (numbers <= high)
        if self.missing == "median":
            valid |= np.isnan(numbers)
        return bool(valid.all())

    def _refuse(self, value: float, field: str) -> None:
        if not math.isfinite(value):
            raise RequestError("not_finite", "expected a finite number", field)
        if abs(value) > LARGEST:
            raise RequestError("out_of_bounds", f"expected at most {LARGEST:g}, either sign; received {value:g}", field)
        low, high = self.limits
        raise RequestError("out_of_bounds", f"expected {low:g} to {high:g}; received {value:g}", field)

    def fit(self, values: Array) -> Fitted:
        """Learn the median and the quantiles if configured, then mean and standard deviation of the feature."""
        present, fitted = require_values(values[~np.isnan(values)]), {}
        if self.missing == "median":
            fitted["median"] = float(np.median(present))
        if self.clip:
            fitted["low"], fitted["high"] = map(float, np.quantile(present, self.clip))
        mean, std = scale(self._feature(values, fitted))
        return {**fitted, "mean": mean, "std": std}

    def _feature(self, values: Array, fitted: Fitted) -> Array:
        if self.missing == "median":
            values = np.where(np.isnan(values), fitted["median"], values)
        if self.clip:
            values = np.clip(values, fitted["low"], fitted["high"])
        return np.log1p(values) if self.log else values

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return one number for each row, and a missing-value flag if values may be missing."""
        flags = [np.isnan(values)] if self.missing == "median" else []
        return stack_columns([self._feature(values, fitted), *flags])

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return the scaling of the feature; the flag is not scaled."""
        return [(fitted["mean"], fitted["std"]), *([PLAIN] if self.missing == "median" else [])]

    def restore(self, features: Array, fitted: Fitted) -> list[Any]:
        """Return numbers, and null where the flag for missing values is set."""
        values = features[:, 0]
        values = np.expm1(np.minimum(values, math.log1p(LARGEST))) if self.log else values
        return _restored(values, features[:, 1] if self.missing == "median" else None)

    def restored_schema(self) -> dict[str, Any]:
        """Return the schema: a number, which may be outside of the bounds."""
        return {"type": ["number", "null"] if self.missing == "median" else "number"}

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: a number within the bounds, or null if values may be missing."""
        low, high = self.limits
        limits = {"minimum": low, "maximum": high} if self.bounds or self.log else {}
        kinds = ["number", *(["string"] if self.written else []), *(["null"] if self.missing == "median" else [])]
        written = f"or a text such as {self.written.example}" if self.written else ""
        text = ", ".join(filter(None, [self.unit, written]))
        kind = kinds[0] if len(kinds) == 1 else kinds
        return {"type": kind, **limits, **({"description": text} if text else {})}

    def to_json(self, values: Array) -> list[Any]:
        """Return numbers, and null for missing ones."""
        return [None if math.isnan(value) else value for value in values.tolist()]


def _restored(values: Array, missing: Array | None) -> list[Any]:
    """Return numbers, and null where a flag for missing values is nearer to 1 than to 0."""
    if missing is None:
        return list(values.tolist())
    return [None if flag else value for value, flag in zip(values.tolist(), (missing > 0.5).tolist(), strict=True)]


def arrow_numbers(cells: pa.Array) -> Array | None:
    """Return numbers as pandas would convert them, with NaN for missing ones; None if they are of another type."""
    import pyarrow as pa
    from pyarrow import types

    if not (types.is_int64(cells.type) or types.is_float64(cells.type)):
        return None
    numbers: Array = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _one_nan(numbers: Array) -> Array:
    """Return the numbers with one bit pattern of NaN, because rows are hashed."""
    return np.where(np.isnan(numbers), np.nan, numbers)


def _number(cell: object) -> object:
    """Return a number from a cell of any type; other cells unchanged."""
    if is_missing(cell):
        return None
    if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):  # Python would accept 1_000
        return cell
    try:
        number = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return cell
    return None if math.isnan(number) else number


def _floats(values: Sequence[object]) -> Array:
    """Convert null to NaN, and integers that are too large for a float to infinity, which is refused."""
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return np.array([_finite(value) for value in values], dtype=np.float64)


def _finite(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return math.inf
