"""CSV for spreadsheets: no text is run as a formula, and numbers stay numbers."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.serving import spreadsheet

STARTS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
CELLS = st.text(st.sampled_from(STARTS + "'019.eE, ;\"x"), max_size=6)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), CELLS)
def test_no_cell_is_a_formula(rows: list[tuple[str, str]], name: str) -> None:
    """For any texts and headers, the CSV read back differs by a leading apostrophe at most."""
    by_rows, as_table = io.StringIO(newline=""), io.StringIO(newline="")
    spreadsheet.write_rows(by_rows, [(name, f"{name}2"), *rows])
    frame = pd.DataFrame(rows, columns=[name, f"{name}2"])
    spreadsheet.write_frame(as_table, frame, header=True)
    for written in (by_rows, as_table):
        found = list(csv.reader(io.StringIO(written.getvalue(), newline="")))
        for texts, cells in zip([(name, f"{name}2"), *rows], found, strict=True):
            for text, cell in zip(texts, cells, strict=True):
                assert cell in (text, f"'{text}")
                risky = text.startswith(tuple(STARTS)) and not _is_number(text)
                assert cell.startswith("'") == (risky or text.startswith("'"))


@pytest.mark.parametrize("cell", ["-5", "+3.2", "1e-5", "-1E+5", "-.5", "+7.", -5, -0.25, None, True, "", "a=1", "'x"])
def test_numbers_and_plain_texts_are_unchanged(cell: object) -> None:
    """Numbers, texts of numbers and harmless texts are unchanged."""
    assert spreadsheet.escape(cell) == cell


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-5\n", "-", "+1e", "--5", "-1-1"]
)
def test_formulas_get_an_apostrophe(cell: str) -> None:
    """Formulas, including those that begin like a number, get an apostrophe."""
    assert spreadsheet.escape(cell) == f"'{cell}"


def test_column_types_are_unchanged() -> None:
    """Signed numbers, missing values, integers, dates and categories are unchanged."""
    frame = pd.DataFrame(
        {
            "number": [-1.5, 2.0],
            "mixed": pd.Series([1, None], dtype=object),
            "text": pd.Series(["=1", None], dtype="string"),
            "kind": pd.Categorical(["-x", "-5"]),
            "day": pd.Series(["2020-01-02", None], dtype="datetime64[ns]"),
        }
    )
    file = io.StringIO()
    spreadsheet.write_frame(file, frame, header=True)
    assert file.getvalue() == "number,mixed,text,kind,day\n-1.5,1,'=1,'-x,2020-01-02\n2.0,,,-5,\n"
