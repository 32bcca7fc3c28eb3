"""Numbers as people write them: one cell by Python and a whole column by Arrow are the same number."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tiltyard.errors import RequestError
from tiltyard.modeling.columns._number_format import NumberFormat
from tiltyard.modeling.columns.number import Number

GERMAN = NumberFormat(decimal=",", thousands=".", symbols=["€", "EUR"])
ENGLISH = NumberFormat(thousands=",", symbols=["$", "US$", "£", "%", "kg"])
SWISS = NumberFormat(thousands="'", symbols=["CHF", "Fr."])
FRENCH = NumberFormat(decimal=",", thousands=" ", symbols=["€"])
FORMATS = [GERMAN, ENGLISH, SWISS, FRENCH, NumberFormat(symbols=["km/h", "m2"])]
CELLS = st.text(st.sampled_from("0123456789.,'\u2019 \u00a0\u202f-+\u2212()€$%eEkgCHFr"), max_size=12)


@pytest.mark.parametrize(
    ("written", "cell", "number"),
    [
        (GERMAN, "1.002,66 €", 1002.66),
        (GERMAN, "€\u00a01.234.567,8", 1234567.8),
        (GERMAN, "-3,5 EUR", -3.5),
        (GERMAN, "3,50-", -3.5),
        (GERMAN, "12,-", 12),
        (GERMAN, "(1.000,00 €)", -1000),
        (ENGLISH, "$1,002.66", 1002.66),
        (ENGLISH, "-$5", -5),
        (ENGLISH, "$-5", -5),
        (ENGLISH, "US$ 12,34,567.5", 1234567.5),
        (ENGLISH, "($123)", -123),
        (ENGLISH, "$(123)", -123),
        (ENGLISH, "12.5 %", 12.5),
        (ENGLISH, "\u22127kg", -7),
        (ENGLISH, "1e3", 1000),
        (SWISS, "CHF 1\u2019234.\u2013", 1234),
        (FRENCH, "1\u202f234\u202f567,89\u00a0€", 1234567.89),
    ],
)
def test_written_numbers_are_read(written: NumberFormat, cell: str, number: float) -> None:
    """Separators, currencies, units and negatives of several countries are understood."""
    assert written.read(cell) == number


@pytest.mark.parametrize("cell", ["1.2.3", "--5", "(5", "(-5)", "5 £", "", "€", "1 2", "12.34.567", "0x1f", "nan"])
def test_other_texts_are_refused(cell: str) -> None:
    """A cell that the declared format does not explain is not guessed."""
    assert NumberFormat(thousands=".", decimal=",", symbols=["€"]).read(cell) is None


@given(st.lists(CELLS | st.none(), max_size=5), st.sampled_from(FORMATS))
def test_arrow_reads_the_same_as_python(cells: list[str | None], written: NumberFormat) -> None:
    """The kernels for whole columns agree with the parser of single cells, also on what is refused."""
    slow = [None if cell is None else written.read(cell) for cell in cells]
    fast = written.read_arrow(pa.array(cells, pa.string()))
    if any(value is None and cell is not None for value, cell in zip(slow, cells, strict=True)):
        assert fast is None
    else:
        expected = np.array([math.nan if value is None else value for value in slow], dtype=np.float64)
        assert fast is not None
        assert np.array_equal(fast, expected, equal_nan=True)


@given(st.lists(st.floats(-1e9, 1e9).map(lambda value: round(value, 2)), min_size=1), st.sampled_from(FORMATS[:4]))
def test_what_is_written_is_read_back(numbers: list[float], written: NumberFormat) -> None:
    """A number that is written with separators and a currency is the same number when read."""
    marks = str.maketrans({",": written.thousands, ".": written.decimal})
    cells = [f"{number:,.2f}".translate(marks) + f" {written.symbols[0]}" for number in numbers]
    read = written.read_arrow(pa.array(cells))
    assert read is not None
    assert read.tolist() == numbers


@pytest.mark.parametrize(
    ("unit", "cell", "value"),
    [
        ("minutes", "1:20", 80),
        ("minutes", "1:20:30", 80.5),
        ("seconds", "1:20", 80),
        ("hours", "1h 30m", 1.5),
        ("minutes", "1h30min", 90),
        ("seconds", "2 min 5,5 s", 125.5),
        ("hours", "PT1H30M", 1.5),
        ("hours", "1 day, 2:00:00", 26),
        ("minutes", "-0:30", -30),
        ("minutes", "45", 45),
        ("minutes", "5m 1h", None),
        ("minutes", "1:99", None),
        ("minutes", "P", None),
        ("minutes", "PT1.2.3S", None),
        ("minutes", "1 fortnight", None),
    ],
)
def test_durations(unit: str, cell: str, value: float | None) -> None:
    """Durations with colons, words or in ISO 8601 are numbers of one unit."""
    written = NumberFormat.model_validate({"duration": unit})
    assert written.read(cell) == value
    fast = written.read_arrow(pa.array([cell]))
    assert (None if fast is None else fast.tolist()) == (None if value is None else [value])


def test_a_request_may_hold_a_cell_of_the_file() -> None:
    """A text as in the file and the number itself are the same value."""
    column = Number(written=GERMAN, missing="median", na=[999])
    values = column.parse(["1.002,66 €", 1002.66, None, "999", 999, "NA", ""], "price")
    assert values[:2].tolist() == [1002.66, 1002.66]
    assert np.isnan(values[2:]).all()
    with pytest.raises(RequestError, match=r"expected a number, or a text such as 1.234,5 €; received 'much'"):
        column.parse(["much"], "price")


def test_whole_columns_hold_the_same_values() -> None:
    """Arrow, pandas and the parser of requests read a column alike."""
    column = Number(written=GERMAN, missing="median", na=[999])
    cells = ["1.002,66 €", "999", None, " (5) ", "NA"]
    expected = column.parse(column.read(cells), "x")
    arrow = column.parse_arrow(pa.array(cells), "x")
    assert isinstance(arrow, np.ndarray)
    assert arrow.tobytes() == expected.tobytes()
    series = pd.Series(cells, dtype="str")
    assert column.parse_cells(series, "x").tobytes() == expected.tobytes()
    assert column.facts_of_cells(series).to_numpy(np.float64).tobytes() == expected.tobytes()


def test_formats_that_contradict_themselves_are_refused() -> None:
    """One character cannot be both separators, and a symbol holds no digits."""
    with pytest.raises(ValidationError, match="expected another separator"):
        NumberFormat(decimal=",", thousands=",")
    with pytest.raises(ValidationError, match="no digit, sign or blank in front"):
        NumberFormat(symbols=["2m"])
