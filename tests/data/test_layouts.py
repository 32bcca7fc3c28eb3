"""Tables laid out as programs and people write them: notes, short headers, units, aligned columns, JSON documents."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiltyard.data import table_reader
from tiltyard.data.formats.base import advice, formats_by_suffix
from tiltyard.data.tables import archive
from tiltyard.data.tables.dialect import Dialect
from tiltyard.data.tables.text_encoding import Utf8Stream, _without_runs
from tiltyard.errors import DataError

ROWS = [f"{place},{place % 7}.5,{'ab'[place % 2]}" for place in range(10, 30)]


def text(*lines: str) -> str:
    """Join lines."""
    return "\n".join(lines) + "\n"


def guessed(path: Path) -> dict[str, Any]:
    """Return the settings that `init` guesses for a file."""
    suffix = table_reader.suffix(path)
    return formats_by_suffix()[suffix](path, Dialect(), suffix).guess()


@pytest.mark.parametrize(
    ("lines", "names", "repairs"),
    [
        (
            ["x,y,z", *ROWS[:9], "# page 2", *ROWS[9:], "", "Source: ledger, 2024"],
            ["x", "y", "z"],
            [
                "line 11 is no row of the table: left out: # page 2",
                "line 24 is no row of the table: left out: Source: ledg",
            ],
        ),
        (
            ["x,y,z", *ROWS, "(20 rows affected)"],
            ["x", "y", "z"],
            ["line 22 is no row of the table: left out: (20 rows affected)"],
        ),
        (
            ["x,y,z", *[f"{row},," for row in ROWS]],
            ["x", "y", "z", "column_4", "column_5"],
            ["column 4 has no name", "column 5 has no name", "the header has 3 names, the rows have 5 cells"],
        ),
        (
            ['"y","z"', *[f'"{row}'.replace(",", '",', 1) for row in ROWS]],
            ["column_1", "y", "z"],
            ["column 1 has no name", "the header has 2 names, the rows have 3 cells"],
        ),
        (["x  y   z", *[f"  {row.replace(',', '    ')}  " for row in ROWS]], ["x", "y", "z"], ["spaces as delimiter"]),
        (["1,y,z", *ROWS], ["1", "y", "z"], []),
    ],
    ids=[
        "comments and notes",
        "a note of a database",
        "delimiters at the end",
        "R",
        "aligned by spaces",
        "a number as name",
    ],
)
def test_layouts_are_read(table: Callable[..., Path], lines: list[str], names: list[str], repairs: list[str]) -> None:
    """Every row is read with its types, twice the same, and what was left out is told."""
    opened = table_reader.open_table(table(text(*lines), "table.csv"))
    frame = opened.to_frame()
    assert [*frame.columns] == names
    assert len(frame) == opened.layout.rows == len(ROWS)
    assert [cell for cell in frame.iloc[3].tolist() if cell == cell] == [13, 6.5, "b"]  # noqa: PLR0124 - NaN
    assert len(opened.layout.repairs) == len(repairs)
    assert all(told.startswith(repair) for told, repair in zip(opened.layout.repairs, repairs, strict=True))


@pytest.mark.parametrize(
    "lines",
    [
        ["x,y,z", *ROWS, "31"],
        ["x,y,z", *ROWS, "31,2"],
        ["x,y,z", *ROWS[:5], "", "Source: ledger", *ROWS[5:]],
        ["x,y,z", *ROWS[:5], "1,2,a,", *ROWS[5:]],
        ["x,y,z", "", "\n\n".join(ROWS), "", "31,2"],
    ],
    ids=["cut short", "cut in the middle", "the table goes on", "one row with a delimiter at the end", "blank lines"],
)
def test_rows_that_are_cut_short_are_no_notes(table: Callable[..., Path], lines: list[str]) -> None:
    """A row that may be a damaged one is refused, with its line."""
    with pytest.raises(DataError, match=r"expected 3 cells in every row, as in the first; received \d in line"):
        table_reader.open_table(table(text(*lines), "table.csv"))


@pytest.mark.parametrize(
    ("lines", "settings", "names"),
    [
        (["temp,wind,site", "°C,m/s,", *ROWS], {"skip_first": 1}, ["temp", "wind", "site"]),
        (["# a, b, c", "#", "x,y,z", *ROWS], {"skip_rows": 2}, ["x", "y", "z"]),
        (["sold,,", "q1,q2,town", *ROWS], {"skip_rows": 1}, ["q1", "q2", "town"]),
        (
            ["sold,bought,", "q1,q1,town", *ROWS],
            {"skip_rows": 1, "names": ["sold q1", "bought q1", "town"]},
            ["sold q1", "bought q1", "town"],
        ),
        (["", "", "Sales", "", "x,y,z", *ROWS], {"skip_rows": 4}, ["x", "y", "z"]),
        (["x,y,z", *ROWS], {}, ["x", "y", "z"]),
        (["x,y,z", "1,n/a,", *ROWS], {}, ["x", "y", "z"]),
    ],
    ids=["units", "comments", "groups", "groups of equal names", "blank lines above", "plain", "missing values"],
)
def test_second_rows_of_names_are_guessed(
    table: Callable[..., Path], lines: list[str], settings: dict[str, Any], names: list[str]
) -> None:
    """Units below the header are left out, groups above it name columns that would have the same name."""
    path = table(text(*lines), "table.csv")
    assert guessed(path) == settings
    frame = table_reader.read(path, Dialect.model_validate(settings)).frame
    assert [*frame.columns] == names
    assert frame[names[0]].tolist()[-20:] == [*range(10, 30)]


def test_runs_of_spaces_may_cross_blocks() -> None:
    """Blocks of any size give the same text, without spaces at the ends of lines and of the file."""
    content = b"  a \t b\r\n 1    2  \n\n3  4 "
    expected = b"a b\r\n1 2\n\n3 4"
    for size in range(1, len(content)):
        blocks = [content[start : start + size] for start in range(0, len(content), size)]
        assert b"".join(_without_runs(iter(blocks))) == expected
    assert Utf8Stream(io.BytesIO(content), "t", spaced=True).readall() == expected


RECORDS = [{"a": 1, "b": {"c": "x", "d": {"e": 2.5}}}, {"a": 2, "b": None}, {"b": {"c": "y"}}]


@pytest.mark.parametrize(
    "document",
    [
        RECORDS,
        {"count": 3, "data": RECORDS},
        {"a": [1, 2, None], "b_c": ["x", None, "y"], "b_d_e": [2.5, None, None]},
        {
            "a": {"0": 1, "1": 2, "2": None},
            "b_c": {"0": "x", "1": None, "2": "y"},
            "b_d_e": {"0": 2.5, "1": None, "2": None},
        },
        {
            "columns": ["a", "b_c", "b_d_e"],
            "index": [0, 1, 2],
            "data": [[1, "x", 2.5], [2, None, None], [None, "y", None]],
        },
    ],
    ids=["a list", "a list in an object", "lists", "objects", "split"],
)
def test_json_documents_are_tables(table: Callable[..., Path], document: object) -> None:
    """Each way in which programs write a table in JSON gives the same rows; objects in rows are unpacked."""
    loaded = table_reader.read(table(json.dumps(document, indent=1), "table.json"))
    cells = loaded.frame[["a", "b_c", "b_d_e"]].astype(object)
    assert cells.where(cells.notna(), None).to_numpy().tolist() == [[1, "x", 2.5], [2, None, None], [None, "y", None]]


def test_json_lines_may_be_called_json(table: Callable[..., Path]) -> None:
    """A file of JSON lines is read under either name, with the same columns."""
    lines = "\n".join(map(json.dumps, RECORDS))
    by_name = [table_reader.read(table(lines, f"table.{suffix}")) for suffix in ("json", "jsonl")]
    assert by_name[0].frame.equals(by_name[1].frame)
    assert by_name[0].repairs == by_name[1].repairs == ["nested values unpacked: b_c, b_d_e"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"a": 1}', "expected JSON: "),
        ("[1, 2]", "row 1: expected an object; received int"),
        ('{"a": 1, "b": "x"}', "received an object with a: int, b: str"),
        ('{"a": [{"x": 1}], "b": [{"x": 1}]}', "expected one list of objects; received a, b"),
        ("[]", "the file is empty"),
        ("3", "expected a list of objects; received int"),
    ],
)
def test_other_json_is_refused(table: Callable[..., Path], content: str, message: str) -> None:
    """The error says what was expected."""
    with pytest.raises(DataError, match=message):
        table_reader.read(table(content, "table.json"))


def test_equal_names_of_nested_values_stay_apart(table: Callable[..., Path]) -> None:
    """A nested value with the name of another key keeps both."""
    loaded = table_reader.read(table('{"a_b": 1, "a": {"b": 2}}\n', "t.jsonl"))
    assert loaded.frame.to_dict("list") == {"a_b": [1], "a.b": [2]}


def test_a_note_beside_a_table_in_a_zip_is_ignored(tmp_path: Path) -> None:
    """A read-me and a licence are no tables; of two tables one must be named."""
    path = tmp_path / "table.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"t.csv": "x,y\n1,2\n", "README.txt": "hello", "LICENSE": "", "about.pdf": ""}.items():
            file.writestr(name, content)
    assert table_reader.read(path).frame.shape == (1, 2)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("readings.csv", "x\n1\n")
    with pytest.raises(DataError, match=r"expected one file inside; received 5") as caught, archive.open_stream(path):
        pass
    assert "tiltyard init --data" in caught.value.hint


@pytest.mark.parametrize(
    ("suffix", "words"), [(".ods", "save it as .xlsx"), (".sqlite", "kind: sql"), (".feather", "CSV or Parquet")]
)
def test_advice_for_formats_that_are_not_read(suffix: str, words: str) -> None:
    """The hint says what to do with the file."""
    assert words in advice(suffix)


def test_a_missing_column_is_named_with_what_there_is(table: Callable[..., Path]) -> None:
    """A name that is nearly right is suggested, and of many columns some are named."""
    names = [f"gene_{place}" for place in range(300)]
    path = table(text(",".join(names), ",".join("1" for _ in names)), "table.csv")
    with pytest.raises(DataError, match=r"gene_7x \(did you mean 'gene_7\d?'\?\); received .*, and 250 more") as caught:
        table_reader.read(path, columns=["gene_7x"])
    assert "--skip-rows" in caught.value.hint
