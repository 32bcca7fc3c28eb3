"""Example values of columns, as a client would send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiltyard.config.draft import yaml_text
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.base import Column

if TYPE_CHECKING:
    import pandas as pd

MAX_TRIED = 10_000  # cells for an example


def example_value(profile: ColumnProfile, cells: pd.Series[Any]) -> Any:
    """Return an example value as a client would send it: the first one that the column accepts."""
    column = yaml_text.build_column(profile)
    for cell in cells.dropna().head(MAX_TRIED):
        (value,) = column.read([cell])
        if value is not None and profile.kind != "number":
            return bool(value) if profile.kind == "boolean" else value
        if value is not None:
            number = _rounded(float(str(value)), column)
            return int(number) if number.is_integer() else number
    raise DataError(f"{profile.name}: expected a value in the first {MAX_TRIED:,} rows that have one; received none")


def _rounded(number: float, column: Column) -> float:
    """Round to six digits, unless the result is outside the column's bounds."""
    short = float(f"{number:.6g}")
    try:
        column.parse([short], "")
    except RequestError:
        return number
    return short
