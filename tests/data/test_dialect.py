"""Property tests of reading: tables in any dialect are read back, whole or in parts, and random bytes never crash."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiltyard.data import table_reader
from tiltyard.data.formats import delimited, jsonl, parquet
from tiltyard.data.tables.column_types import BOOLEANS, CODE, strip_cells
from tiltyard.data.tables.dialect import Dialect
from tiltyard.data.tables.type_inference import _has_code
from tiltyard.errors import DataError
from tiltyard.modeling.columns._cell import MISSING

Columns = dict[str, list[Any]]

PATIENT = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150
)
NUMERIC = re.compile(r"[\s\d.,+-]*|[+-]?(inf(inity)?|nan)|.*\d.*", re.IGNORECASE | re.DOTALL)


def plain(text: str) -> bool:
    """Return whether a text needs no quoting and has no leading blank."""
    stripped = text.strip()
    known = stripped in (*MISSING, *BOOLEANS) or NUMERIC.fullmatch(stripped)
    return bool(stripped) and not known and not text.startswith((" ", '"', "\ufeff"))


wild = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8).filter(plain)
simple_texts = st.text("abcdefgh ä😀", min_size=1, max_size=8).filter(plain)


@st.composite
def tables(draw: st.DrawFn, texts: st.SearchStrategy[str] = wild, minimum_columns: int = 1) -> Columns:
    """Generate columns of one length, each with at least one value, so that it has a type."""
    rows = draw(st.integers(1, 12))
    names = draw(st.lists(texts.map(str.strip), min_size=minimum_columns, max_size=4, unique=True))
    kinds: list[st.SearchStrategy[Any]] = [
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.booleans(),
        texts,
    ]
    columns = {}
    for name in names:
        values = draw(st.sampled_from(kinds))
        filled = draw(st.lists(values, min_size=rows, max_size=rows))
        holes = draw(st.sets(st.integers(1, rows - 1), max_size=3)) if rows > 1 else set()
        columns[name] = [None if i in holes else value for i, value in enumerate(filled)]
    return columns


def expected(columns: Columns) -> Columns:
    """Return what pandas holds: integers with missing values become floats."""
    return {
        name: [float(v) if type(v) is int and None in cells else v for v in cells] for name, cells in columns.items()
    }


def values(frame: pd.DataFrame) -> Columns:
    """Return plain values, None for missing ones."""
    return {str(name): [None if pd.isna(v) else v for v in cells.tolist()] for name, cells in frame.items()}


def same(left: Columns, right: Columns) -> bool:
    """Compare values and their types, and the order of columns."""
    return repr(left) == repr(right)


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    """Return the rows."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def check(path: Path, columns: Columns, options: Dialect | None = None) -> None:
    """Check that reading returns the columns, whole and in parts."""
    loaded = table_reader.read(path, options)
    assert same(values(loaded.frame), expected(columns))
    pd.testing.assert_frame_equal(pd.concat(list(table_reader.scan(path, options))), loaded.frame)


@PATIENT
@given(
    columns=tables(),
    options=st.builds(
        Dialect,
        delimiter=st.sampled_from(",;\t|:"),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030"]),
        header=st.booleans(),
        decimal=st.sampled_from(".,"),
    ),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL]),
    packed=st.booleans(),
)
def test_any_dialect_is_read_back(
    tmp_path: Path, columns: Columns, options: Dialect, quoting: Literal[0, 1, 2], packed: bool
) -> None:
    """With the dialect in the task file, every cell is read exactly."""
    point = str(options.decimal)
    cells = {n: [str(v).replace(".", point) if type(v) is float else v for v in c] for n, c in columns.items()}
    text = pd.DataFrame(cells, dtype=object).to_csv(
        sep=str(options.delimiter), header=bool(options.header), index=False, quoting=quoting
    )
    path = tmp_path / "table.csv"
    content = text.encode(str(options.encoding))
    path.write_bytes(gzip.compress(content) if packed else content)
    check(path, columns, options if options.header else options.model_copy(update={"names": list(columns)}))


@PATIENT
@given(
    columns=tables(simple_texts, minimum_columns=2),
    delimiter=st.sampled_from(",;\t|"),
    suffix=st.sampled_from([".csv", ".tsv"]),
)
def test_common_dialects_are_detected(tmp_path: Path, columns: Columns, delimiter: str, suffix: str) -> None:
    """Delimiter and header are guessed if no cell contains a delimiter."""
    path = tmp_path / f"table{suffix}"
    pd.DataFrame(columns, dtype=object).to_csv(path, sep=delimiter, index=False)
    check(path, columns)


@PATIENT
@given(columns=tables())
def test_json_lines_are_read_back(tmp_path: Path, columns: Columns) -> None:
    """JSON lines are read back, also with missing keys left out."""
    finite = {n: [None if v in (float("inf"), float("-inf")) else v for v in c] for n, c in columns.items()}
    present = {name: cells for name, cells in finite.items() if cells[0] is not None}
    lines = [json.dumps({n: v for n, v in row.items() if v is not None}) for row in rows_of(present)]
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if present:
        check(path, present)


@PATIENT
@given(columns=tables())
def test_parquet_is_read_back(tmp_path: Path, columns: Columns) -> None:
    """Values and types are read back, also columns of integers or booleans with missing values."""
    path = tmp_path / "table.parquet"
    pd.DataFrame(columns, dtype=object).to_parquet(path)
    check(path, columns)


junk = st.one_of(
    st.text('a1,;\t|"\n\r. -+eéNA0', max_size=200).map(str.encode),
    st.lists(st.sampled_from(["1,234", "1.5", "1,5", "007", '"', "a", "", "NA", " x", "true"]), max_size=40).flatmap(
        lambda cells: st.sampled_from(";\t,\n").map(lambda mark: f"x\n{mark.join(cells)}\n".encode())
    ),
    st.binary(max_size=200),
)


@PATIENT
@given(content=junk, suffix=st.sampled_from([".csv", ".tsv", ".csv.gz", ".jsonl", ".parquet", ".zip"]))
def test_random_bytes_are_read_or_rejected(tmp_path: Path, content: bytes, suffix: str) -> None:
    """Random bytes are read or refused with an error, the same way each time."""
    path = tmp_path / f"table{suffix}"
    path.write_bytes(content)
    outcomes = []
    for _ in range(2):
        try:
            loaded = table_reader.read(path)
            pd.testing.assert_frame_equal(pd.concat(list(table_reader.scan(path))), loaded.frame)
            outcomes.append((repr(values(loaded.frame)), loaded.repairs))
        except DataError as error:
            outcomes.append((error.message, []))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl", "table.parquet"])
def test_small_parts_equal_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Parts have the types of the whole file."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(jsonl, "ROWS", 64)
    monkeypatch.setattr(parquet, "ROWS", 64)
    columns: Columns = {
        "whole": list(range(2000)),
        "holed": [*range(1999), None],
        "late": [*map(float, range(1999)), 0.5],
        "truth": [None, *[True, False, True] * 666, False],
        "text": [f"a\n{i}" for i in range(2000)],
    }
    path, frame = tmp_path / name, pd.DataFrame(columns, dtype=object)
    if name.endswith("csv"):
        frame.to_csv(path, index=False)
    elif name.endswith("jsonl"):
        path.write_text("\n".join(map(json.dumps, rows_of(columns))), encoding="utf-8")
    else:
        frame.to_parquet(path)
    check(path, columns)
    parts = list(table_reader.scan(path))
    assert len(parts) > 10
    assert len({tuple(part.dtypes.astype(str)) for part in parts}) == 1


@given(
    texts=st.lists(st.text("01x9aX.\u00a0\u2003\x1c\x7fä \t", max_size=3) | st.none(), min_size=2, max_size=6),
    na=st.lists(st.text("0a ", max_size=2), max_size=2),
)
def test_blanks_and_codes_are_found_by_bytes(texts: list[str | None], na: list[str]) -> None:
    """Cells are stripped as Arrow strips them, and codes are found as by the regular expression."""
    na = [text.strip() for text in na]
    cells = pa.array([None if text in na else text for text in texts], "string")[1:]
    bare = [None if text is None or text.strip() in na else text.strip() for text in cells.to_pylist()]
    assert strip_cells(cells, na).to_pylist() == bare
    values = cells.drop_null()
    assert _has_code(values) == any(map(CODE.match, values.to_pylist()))
