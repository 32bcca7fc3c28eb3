"""Reading tables: each file is read as intended, or refused with an error that explains why."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tiltyard.data import table_reader
from tiltyard.data.formats import delimited
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError

PLAIN = "x,y\n1,a\n2,b\n"
MIRRORED = {
    "google_stock.csv": 1258,
    "sp500_closes.csv": 4171,
    "sms_spam.tsv": 5574,
    "california_housing.csv.gz": 20640,
}


def columns(path: Path, **options: Any) -> dict[str, list[Any]]:
    """Read all columns as lists."""
    frame = table_reader.read(path, Dialect(**options)).frame
    return {str(name): cells.tolist() for name, cells in frame.items()}


@pytest.mark.parametrize("name", ["table.csv", "t.txt", "UPPER.CSV", "t.dat"])
def test_regular_file_needs_no_repair(table: Callable[..., Path], name: str) -> None:
    """A regular file has no repairs to report."""
    loaded = table_reader.read(table(PLAIN, name))
    assert loaded.frame.to_dict("list") == {"x": [1, 2], "y": ["a", "b"]}
    assert loaded.repairs == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n2", [1, 2]),
        ("1\n2.5", [1.0, 2.5]),
        ("-1\n+2e3", [-1.0, 2000.0]),
        ("true\nFalse", [True, False]),
        ("1\nNA\n3", [1.0, None, 3.0]),
        ('True\n""\nFalse', [True, None, False]),
        ("a\nnull\n1", ["a", None, "1"]),
        ("007\n012", ["007", "012"]),
        ("0x1f\n0x2f", ["0x1f", "0x2f"]),
        ("0\n0.5", [0.0, 0.5]),
        ("12345678901234567890\n1", ["12345678901234567890", "1"]),
        ("9223372036854775807\n-9223372036854775808", [2**63 - 1, -(2**63)]),
        ("3/4/2020\n2020-04-03\n3. April", ["3/4/2020", "2020-04-03", "3. April"]),
        (" 1\n 2 ", [1, 2]),
        ("a b \n c", ["a b ", " c"]),
        ("inf\n1", [float("inf"), 1.0]),
        ("NA\nNA", [None, None]),
        ("0.1\n0.30000000000000004", [0.1, 0.30000000000000004]),
    ],
)
def test_column_type_fits_all_cells(table: Callable[..., Path], text: str, expected: list[Any]) -> None:
    """A column gets the most specific type that fits all cells."""
    (cells,) = table_reader.read(table(f"x\n{text}\n")).frame.to_dict("list").values()
    assert [None if pd.isna(value) else value for value in cells] == expected
    kinds = {type(value) for value in cells if not pd.isna(value)}
    assert kinds == {type(value) for value in expected if value is not None}


@pytest.mark.parametrize(
    ("content", "expected", "repairs"),
    [
        ("x;y\n1;a\n2;b\n", {"x": [1, 2], "y": ["a", "b"]}, ["semicolons as delimiter"]),
        ("x\ty\n1\ta,b\n", {"x": [1], "y": ["a,b"]}, ["tabs as delimiter"]),
        ("x|y\n1|a\n", {"x": [1], "y": ["a"]}, ["bars as delimiter"]),
        ("\ufeffx,y\n1,ä\n", {"x": [1], "y": ["ä"]}, ["byte order mark dropped"]),
        (
            "x,y\n1,ä\n".encode("utf-16"),
            {"x": [1], "y": ["ä"]},
            ["byte order mark dropped", "decoded as utf-16"],
        ),
        ("x,y\n1,€ü\n".encode("cp1252"), {"x": [1], "y": ["€ü"]}, ["decoded as cp1252"]),
        (
            "x,y\n1,ä\n".encode() + "2,ö\n3,ü\n".encode("cp1252"),
            {"x": [1, 2, 3], "y": ["ä", "ö", "ü"]},
            ["mixed encodings: UTF-8, but decoded as cp1252 in line 3, 4"],
        ),
        (
            'day,volume\n1,"7,380,500"\n2,500\n',
            {"day": [1, 2], "volume": [7380500, 500]},
            ["thousands separators removed in volume"],
        ),
        (
            'day,price\n1,"1,008.64"\n2,9.5\n',
            {"day": [1, 2], "price": [1008.64, 9.5]},
            ["thousands separators removed in price"],
        ),
        (
            "a;b\n1,5;x\n-2;y\n",
            {"a": [1.5, -2.0], "b": ["x", "y"]},
            ["semicolons as delimiter", "decimal commas read as points in a"],
        ),
        (
            "a;b\n1,5;1.234.567\n2,5;20\n",
            {"a": [1.5, 2.5], "b": [1234567, 20]},
            [
                "semicolons as delimiter",
                "decimal commas read as points in a",
                "points removed and decimal commas read as points in b",
            ],
        ),
        ("1.5\n2.5\n", {"column_1": [1.5, 2.5]}, ["no header: columns named column_1"]),
        ("1,a\n2,b\n", {"column_1": [1, 2], "column_2": ["a", "b"]}, ["no header: columns named column_1, column_2"]),
        ("0,1,2\n5,6,1\n", {"0": [5], "1": [6], "2": [1]}, []),
        ("land,2019,2020\nAT,1,2\n", {"land": ["AT"], "2019": [1], "2020": [2]}, []),
        ("x,x,x_2\n1,2,3\n", {"x": [1], "x_3": [2], "x_2": [3]}, ["repeated column name x: x_3"]),
        (",y\n1,2\n", {"column_1": [1], "y": [2]}, ["column 1 has no name: column_1"]),
        (
            "x, y, z\na, 1, no\nb, 2, yes\n",
            {"x": ["a", "b"], "y": [1, 2], "z": ["no", "yes"]},
            ["blanks around column names dropped", "blanks before the text dropped in z"],
        ),
        ("x\r\n1\r\n\r\n2\r\n", {"x": [1, 2]}, []),
        ("x,y\r1,2\r3,4\r", {"x": [1, 3], "y": [2, 4]}, []),
        ('x,y\n"a\nb, ""c""",1\n', {"x": ['a\nb, "c"'], "y": [1]}, []),
        ("😀,naïve 🐈\n1,2\n", {"😀": [1], "naïve 🐈": [2]}, []),
        (
            'x\ty\n"Well\t1\nno" so\t2\n',
            {"x": ['"Well', 'no" so'], "y": [1, 2]},
            ["tabs as delimiter", "quotes read as ordinary characters"],
        ),
    ],
)
def test_unusual_files_are_read_with_repairs(
    table: Callable[..., Path], content: str | bytes, expected: dict[str, list[Any]], repairs: list[str]
) -> None:
    """Repairs of unusual files are reported."""
    loaded = table_reader.read(table(content))
    assert loaded.frame.to_dict("list") == expected
    assert loaded.repairs == repairs


def test_ambiguous_number_stays_text(table: Callable[..., Path]) -> None:
    """1,234 stays text unless other columns or the task resolve the separator."""
    path = table("a;b\n1,234;x\n5,678;y\n")
    loaded = table_reader.read(path)
    assert loaded.frame["a"].tolist() == ["1,234", "5,678"]
    assert "left as text" in loaded.repairs[1]
    assert columns(path, decimal=",")["a"] == [1.234, 5.678]
    assert columns(path, thousands=",")["a"] == [1234, 5678]
    assert columns(table("a;b\n1,234;1.5\n"))["a"] == [1234]
    assert columns(table("a;b\n1,234;1,5\n"))["a"] == [1.234]
    assert columns(table("a;b\n1.234;1,5\n"))["a"] == ["1.234"]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("x;y\n1;2\n", {"delimiter": ","}, {"x;y": ["1;2"]}),
        ("x:y\n1:2\n", {"delimiter": ":"}, {"x": [1], "y": [2]}),
        ("x\nя\n".encode("cp1251"), {"encoding": "cp1251"}, {"x": ["я"]}),
        ("a,b\nc,d\n", {"header": False}, {"column_1": ["a", "c"], "column_2": ["b", "d"]}),
        ("1,2\n3,4\n", {"header": True}, {"1": [3], "2": [4]}),
        ("1,5\n3,4\n", {"names": ["a", "b"]}, {"a": [1, 3], "b": [5, 4]}),
        ("x,x\n3,4\n", {"names": ["a", "b"]}, {"a": [3], "b": [4]}),
        ("x\n1'000\n", {"thousands": "'"}, {"x": [1000]}),
        ("x\n1.000\n", {"decimal": ",", "thousands": "."}, {"x": [1000]}),
        ("x\nNA\n?\n", {"na": ["?"]}, {"x": ["NA", None]}),
        ("x\n1\n?\n", {"na": ["?"]}, {"x": [1.0, None]}),
    ],
)
def test_task_settings_replace_guesses(
    table: Callable[..., Path], content: str | bytes, options: dict[str, Any], expected: dict[str, list[Any]]
) -> None:
    """Each key of `source.read` replaces a guess, without a repair to report."""
    loaded = table_reader.read(table(content), Dialect(**options))
    values = {name: [None if pd.isna(v) else v for v in cells] for name, cells in loaded.frame.to_dict("list").items()}
    assert values == expected
    assert loaded.repairs == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("\ufeff", "the file is empty"),
        ("x,y\n", "expected rows; received a header alone"),
        ("x,y\n1,2\n3\n4,5\n6,7,8\n", r"expected 2 cells in every row.*received 1 in line 3, 3 in line 5$"),
        ('x,y\n"a\nb",2\n3\n', "received 1 in line 4$"),
        ("x\n" + "1,2\n" * 9, "received 2 in line 2, .* and others in 4 more lines$"),
        ('x,y\n"a,b",1\n"c"d,2\n', "a quote after line 2 is not closed"),
        ('x,y\n"a,b",1\n"c,d\n', "a quote after line 2 is not closed"),
        (b"x,y\n1,\0\n", "expected text; received binary data in line 2"),
        (b"x\n\x81\n", "line 2 is neither UTF-8 nor cp1252: byte 0x81"),
        (b"\xff\xfex\0\n\0\x00\xd8\n\0", "expected utf-16; line"),
        (random.Random(0).randbytes(5000), "expected text; received binary data in line"),  # noqa: S311 - no secret
    ],
)
def test_invalid_tables_are_rejected(table: Callable[..., Path], content: str | bytes, message: str) -> None:
    """The error names the file, what was expected, and the lines."""
    with pytest.raises(DataError, match=message) as caught:
        table_reader.read(table(content))
    assert caught.value.message.startswith("table.csv: ")


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    """A missing file and a folder raise an error."""
    with pytest.raises(DataError, match=r"gone.csv: cannot be read: No such file"):
        table_reader.read(tmp_path / "gone.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder.csv: cannot be read: Is a directory"):
        table_reader.read(tmp_path / "folder.csv")


def test_file_deleted_while_reading(table: Callable[..., Path]) -> None:
    """A file may disappear between the two passes."""
    path = table(PLAIN)
    batches = table_reader.scan(path)
    surveyed = table_reader.survey(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        next(batches)
    assert surveyed.rows == 2


def test_unknown_suffix_error_lists_known_suffixes(table: Callable[..., Path]) -> None:
    """The error lists the known suffixes, and suggests CSV for a spreadsheet."""
    with pytest.raises(DataError, match=r"expected a table in one of \.csv, .*received '\.xls'") as caught:
        table_reader.read(table("x", "t.xls"))
    assert caught.value.hint == "save it as .xlsx or CSV"
    with pytest.raises(DataError, match="received ''"):
        table_reader.read(table("x", "t"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "klingon"}, "expected an encoding that Python knows"),
        ({"names": ["a", "a"]}, "expected different names"),
        ({"delimiter": '"'}, "expected a character other than a quote"),
        ({"thousands": ","} | {"decimal": ","}, "another separator than for decimals"),
    ],
)
def test_invalid_settings_are_rejected(options: dict[str, Any], message: str) -> None:
    """Invalid values of `source.read` are refused."""
    with pytest.raises(ValueError, match=message):
        Dialect(**options)


def test_requested_columns_are_read_in_order(table: Callable[..., Path]) -> None:
    """Only the requested columns are read, in their order, and missing ones raise an error."""
    path = table("x,y,z\n1,2,3\n")
    assert table_reader.read(path, columns=["z", "x"]).frame.to_dict("list") == {"z": [3], "x": [1]}
    with pytest.raises(DataError, match=r"table.csv: expected the columns w; received x, y, z"):
        table_reader.read(path, columns=["w", "x"])


def test_too_few_names_are_rejected(table: Callable[..., Path]) -> None:
    """Too few names are refused, since they would shift."""
    with pytest.raises(DataError, match=r"source\.read\.names: expected 2, one for each column; received 1"):
        table_reader.read(table(PLAIN), Dialect(names=["x"]))


def test_parts_are_bounded_and_equal_the_whole_file(
    table: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts have the type of the whole file, even if only the last row decides it."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    path = table("x,y\n" + "".join(f"{i},{i}\n" for i in range(5000)) + "NA,1.5\n")
    parts = list(table_reader.scan(path))
    assert len(parts) > 3
    assert max(map(len, parts)) < 2000
    assert {str(part["x"].dtype) for part in parts} == {str(part["y"].dtype) for part in parts} == {"float64"}
    pd.testing.assert_frame_equal(pd.concat(parts), table_reader.read(path).frame)


def test_long_text_is_read_and_endless_line_is_rejected(table: Callable[..., Path]) -> None:
    """A cell may hold an article, but a line of more than 32 MiB is refused."""
    article = "word " * 100_000
    assert table_reader.read(table(f"x,y\n1,{article}\n")).frame["y"].tolist() == [article]
    with pytest.raises(DataError, match="expected lines; received one of more than 33554432 bytes after line 1"):
        table_reader.read(table(b"x,y\n" + b"1" * (34 << 20)))


def test_row_larger_than_a_batch_is_rejected(table: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A row beyond the size of a batch is refused, so that memory stays bounded."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 10)
    with pytest.raises(DataError, match="a row of more than 1024 bytes"):
        table_reader.read(table("x,y\n" + "1" * 5000 + ",2\n"))


@pytest.mark.parametrize("name", MIRRORED)
def test_real_files_are_read_completely(mirror: Path, name: str) -> None:
    """Real files with unusual dialects are read with all rows and numeric types."""
    loaded = table_reader.read(mirror / name)
    assert len(loaded.frame) == MIRRORED[name]
    if name == "google_stock.csv":
        assert loaded.frame["Volume"].iloc[0] == 7_380_500
        assert loaded.repairs == ["thousands separators removed in Close, Volume"]
