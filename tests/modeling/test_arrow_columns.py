"""Columns of a file that Arrow parses without a Python object for each cell."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tiltyard.arrays import decoded
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.date import Date
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.text import Text

ALLOWED = {
    "text": "empty",
    "category": "bucket",
    "boolean": "bucket",
}  # how each type allows missing values; others: median


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (Number(), [1, None, 3]),
        (Number(bounds=(0, 9)), [1.5, None]),
        (Category(values=["a", "b"]), ["a", None, "b"]),
        (Category(unseen="bucket"), ["a", None, ""]),
        (Boolean(), ["yes", None, "NO"]),
        (Date(), ["2024-02-29", None, "0001-01-01"]),
        (Date(format="%d.%m.%Y %H:%M:%S"), ["29.02.2024 23:59:59", None]),
        (Text(), ["a text", None]),
    ],
)
def test_usual_columns_are_parsed_in_arrow(column: Column, cells: list[object]) -> None:
    """Arrow parses all of them, and leaves it to the slow code to refuse missing values."""
    present = pa.array([cell for cell in cells if cell not in (None, "")])
    assert column.parse_arrow(present, "x") is not None
    assert column.parse_arrow(pa.array(cells), "x") is None
    allowed = column.model_copy(update={"missing": ALLOWED.get(column.type, "median")})
    found = allowed.parse_arrow(pa.array(cells), "x")
    assert found is not None
    expected = allowed.parse(allowed.read(cells), "x")
    assert (decoded(found).dtype, decoded(found).tobytes()) == (expected.dtype, expected.tobytes())
