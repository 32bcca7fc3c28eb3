"""Excel files: one table of a sheet, below titles, above totals, beside other tables; bombs are refused."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.data import table_reader
from tiltyard.data.formats.excel import Excel
from tiltyard.data.tables.dialect import Dialect
from tiltyard.data.tables.sheet import as_text, locate
from tiltyard.errors import DataError


def workbook(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    """Write a workbook with these sheets."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


SALES: list[Sequence[Any]] = [
    ["Region", "Amount", "When", "Open", "Code", "Sold"],
    *(
        [("N", "S")[i % 2], i + 0.5, dt.datetime(2024, 1, 1 + i), dt.time(8 + i, 30), f"00{i}", i % 3 == 0]  # noqa: DTZ001 - as in Excel
        for i in range(12)
    ),
]


def test_typed_cells_are_read(tmp_path: Path) -> None:
    """Numbers, dates, times of day, booleans and codes have the types that a CSV file would give them."""
    loaded = table_reader.read(workbook(tmp_path / "a.xlsx", Sales=SALES))
    assert loaded.repairs == []
    assert loaded.frame.iloc[3].tolist() == ["S", 3.5, "2024-01-04", "11:30:00", "003", True]
    assert loaded.frame["Amount"].dtype == "float64"
    chosen = table_reader.read(tmp_path / "a.xlsx", columns=["Code", "Amount"]).frame
    assert chosen.columns.tolist() == ["Code", "Amount"]


def test_titles_totals_and_other_tables_are_left_out(tmp_path: Path) -> None:
    """The table ends at an empty column, and at a blank row before something else; the task leaves out totals."""
    beside = [[None, *row, None, "other" if place == 0 else place] for place, row in enumerate(SALES)]
    below: list[Sequence[Any]] = [[], [None, "x", "y"], [None, 1, 2], [None, 3, 4]]
    rows: list[Sequence[Any]] = [[None, "Sales report"], [], *beside, [None, "Total", 72.0], *below]
    path = workbook(tmp_path / "a.xlsx", Notes=[["read me"]], Sales=rows)
    loaded = table_reader.read(path, Dialect(skip_last=1))
    assert loaded.frame["Region"].tolist() == ["N", "S"] * 6
    assert loaded.frame.columns.tolist() == SALES[0]
    assert loaded.repairs == ["sheet Sales; others: Notes", "3 rows below the table, after a blank one: left out"]
    assert Excel(path, Dialect(), ".xlsx").guess() == {"sheet": "Sales", "skip_rows": 2}


def test_blank_rows_within_a_table_are_skipped(tmp_path: Path) -> None:
    """Rows after a blank one that look like those before belong to the table."""
    loaded = table_reader.read(workbook(tmp_path / "a.xlsx", S=[*SALES[:5], [], *SALES[5:]]))
    assert len(loaded.frame) == 12


def test_mixed_cells_and_texts_for_missing_values(tmp_path: Path) -> None:
    """Numbers stored as text are numbers, and NA is missing; other mixtures are text."""
    rows: list[Sequence[Any]] = [["a", "b", "c"], ["1", 1, 1], [2, "NA", "?"], ["3", 2.5, 3]]
    frame = table_reader.read(workbook(tmp_path / "a.xlsx", S=rows)).frame
    assert frame["a"].tolist() == [1, 2, 3]
    assert frame["b"].fillna(-1).tolist() == [1, -1, 2.5]
    assert frame["c"].tolist() == ["1", "?", "3"]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    """An unknown name is an error that lists the sheets."""
    path = workbook(tmp_path / "a.xlsx", First=SALES, Second=[["p", "q"], [1, 2], [3, 4]])
    assert table_reader.read(path, Dialect(sheet="Second")).frame.columns.tolist() == ["p", "q"]
    with pytest.raises(DataError, match="expected one of the sheets First, Second; received Third"):
        table_reader.read(path, Dialect(sheet="Third"))
    with pytest.raises(DataError, match="delimiter: expected only for delimited text"):
        table_reader.read(path, Dialect(delimiter=";"))


def test_a_stray_cell_far_away_costs_nothing(tmp_path: Path) -> None:
    """A cell in the last row and column does not make the table larger."""
    path = workbook(tmp_path / "a.xlsx", S=SALES)
    book = openpyxl.load_workbook(path)
    book["S"]["XFD60000"] = "stray"
    book.save(path)
    assert table_reader.read(path).frame.shape == (12, 6)


def edited(path: Path, name: str, content: bytes) -> Path:
    """Replace one file in a workbook."""
    with zipfile.ZipFile(path) as file:
        parts = {member: file.read(member) for member in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for member, old in parts.items():
            file.writestr(member, content if member == name else old)
    return path


def test_bombs_and_entities_are_refused(tmp_path: Path) -> None:
    """A workbook that unpacks to too much, or declares entities, is not parsed."""
    path = workbook(tmp_path / "a.xlsx", S=SALES)
    with pytest.raises(DataError, match="like a zip bomb"):
        table_reader.read(edited(path, "docProps/app.xml", b" " * (1 << 27)))
    path = workbook(tmp_path / "a.xlsx", S=SALES)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><worksheet/>'
    with pytest.raises(DataError, match=r"sheet1\.xml declares a document type"):
        table_reader.read(edited(path, "xl/worksheets/sheet1.xml", bomb))


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no workbook", b"a,b\n1,2\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A file with this suffix that is no workbook is an error."""
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(DataError):
        table_reader.read(tmp_path / "a.xlsx")


def test_an_empty_workbook_is_refused(tmp_path: Path) -> None:
    """A workbook without a table is an error."""
    with pytest.raises(DataError, match="expected a sheet with a table; received S"):
        table_reader.read(workbook(tmp_path / "a.xlsx", S=[["only a title"]]))


CELL = (
    st.none() | st.integers(-5, 5) | st.floats(-9, 9) | st.booleans() | st.sampled_from(["", " ", "a", "Total", "1,5"])
)


@given(st.lists(st.lists(CELL, max_size=5), max_size=8), st.none() | st.integers(1, 9))
def test_any_rows_hold_a_table_or_none(rows: list[list[Any]], skip: int | None) -> None:
    """Whatever the cells are, the place of the table lies within the rows."""
    table = locate(rows, skip)
    assert table is None or (table.header < len(rows) and table.first < table.last <= 5)


def test_cells_are_written_as_in_csv() -> None:
    """Whole numbers have no fraction, durations may exceed a day."""
    cells = [1.0, 0.1, True, dt.timedelta(hours=30, minutes=5), dt.timedelta(seconds=-90), dt.date(2024, 1, 2), "x", 3]
    written = [as_text(cell, with_time=False) for cell in cells]
    assert written == ["1", "0.1", "true", "30:05:00", "-0:01:30", "2024-01-02", "x", "3"]


@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=2, max_size=12))
def test_any_sheet_is_read_or_refused(rows: list[list[Any]]) -> None:
    """A sheet of any cells is a table with as many columns as its layout says, or an error of this project."""
    file = io.BytesIO()
    book = openpyxl.Workbook()
    for row in [["p", "q", "r"], *rows]:
        book.active.append(row)
    book.save(file)
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.xlsx"
        path.write_bytes(file.getvalue())
        try:
            table = table_reader.open_table(path)
        except DataError:
            return
        frame = table.to_frame()
    assert len(frame) == table.layout.rows
    assert [*frame.columns] == [*table.layout.columns]
    assert isinstance(frame, pd.DataFrame)


def test_units_below_the_header_are_left_out(tmp_path: Path) -> None:
    """A row of units does not make texts of numbers."""
    rows: list[Sequence[Any]] = [["temp", "site"], ["°C", None], *[[place / 2, "ab"[place % 2]] for place in range(9)]]
    path = workbook(tmp_path / "a.xlsx", S=rows)
    guessed = Excel(path, Dialect(), ".xlsx").guess()
    assert guessed == {"skip_first": 1}
    frame = table_reader.read(path, Dialect.model_validate(guessed)).frame
    assert frame["temp"].tolist() == [place / 2 for place in range(9)]


@pytest.mark.parametrize("rows_each", [2, 3])
def test_merged_cells_are_filled_downwards(tmp_path: Path, rows_each: int) -> None:
    """A name merged over several rows belongs to each of them; cells merged to the right stay as they are."""
    book = openpyxl.Workbook()
    book.active.title = "A sheet & more"
    book.active.append(["Report"])
    book.active.merge_cells("A1:C1")
    book.active.append(["region", "sold", "note"])
    for place in range(12):
        book.active.append([f"r{place // rows_each}" if place % rows_each == 0 else None, place, None])
        if place % rows_each == 0:
            book.active.merge_cells(f"A{place + 3}:A{place + 2 + rows_each}")
    book.create_sheet("other").append(["x"])
    book.save(tmp_path / "a.xlsx")
    loaded = table_reader.read(tmp_path / "a.xlsx", Dialect(skip_rows=1))
    assert loaded.frame["region"].tolist() == [f"r{place // rows_each}" for place in range(12)]
    merged = f"cells merged downwards, {12 // rows_each} times: the value of the first one is read in all"
    assert merged in loaded.repairs
