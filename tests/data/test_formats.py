"""Typed formats: JSON lines and Parquet are read as the same four types as text."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tiltyard.data import table_reader
from tiltyard.data.formats import parquet as parquet_format
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError


def test_json_lines_keep_their_types(table: Callable[..., Path]) -> None:
    """Missing keys, digits as text and mixed types are read correctly, and mixtures are reported."""
    lines = [
        '{"a": 1, "b": "007", "c": true, "d": 1, "e": [1, "ä"], "f": 1}',
        '{"a": 2, "b": "NA", "c": false, "d": 1.5, "e": null, "f": "x"}',
        "",
        '{"b": "", "d": 100000000000000000000, "c": null, "f": true}',
    ]
    loaded = table_reader.read(table("\n".join(lines), "t.jsonl"))
    values = {name: [None if pd.isna(v) else v for v in cells] for name, cells in loaded.frame.to_dict("list").items()}
    assert values == {
        "a": [1.0, 2.0, None],
        "b": ["007", "NA", ""],
        "c": [True, False, None],
        "d": [1.0, 1.5, 1e20],
        "e": ['[1, "ä"]', None, None],
        "f": ["1", "x", "true"],
    }
    assert loaded.repairs == [
        "e holds nested values: read as text",
        "f holds boolean and integer and text: read as text",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("{}\n", "the file is empty"),
        ('{"a": 1}\n{"a": \n', "line 2: expected an object"),
        ("[1, 2]\n", "line 1: expected an object"),
        (b'{"a": "\0"}\n', "binary data in line 1"),
    ],
)
def test_invalid_json_is_rejected(table: Callable[..., Path], content: str | bytes, message: str) -> None:
    """The error names the line."""
    with pytest.raises(DataError, match=message):
        table_reader.read(table(content, "t.jsonl"))


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a Parquet file."""
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_parquet_types_are_converted(table: Callable[..., Path], pack: Callable[[bytes], bytes]) -> None:
    """Small integers, dictionaries, times and lists are converted to the four common types."""
    frame = pd.DataFrame(
        {
            "small": np.array([1, 2], "int8"),
            "half": np.array([0.5, np.nan], "float32"),
            "big": np.array([2**64 - 1, 0], "uint64"),
            "some": pd.array([1, None], "Int64"),
            "flag": pd.array([True, None], "boolean"),
            "kind": pd.Categorical(["a", None]),
            "when": [dt.datetime(2020, 4, 8, 5), pd.NaT],  # noqa: DTZ001 - without a zone on purpose
            "day": [dt.date(2020, 4, 8), None],
            "list": [[1, 2], None],
            "empty": ["", None],
            "a.b": [1, 2],
        }
    )
    loaded = table_reader.read(table(pack(parquet(frame)), "t.parquet"))
    values = {name: [None if pd.isna(v) else v for v in cells] for name, cells in loaded.frame.to_dict("list").items()}
    assert values == {
        "small": [1, 2],
        "half": [0.5, None],
        "big": [2.0**64, 0.0],
        "some": [1.0, None],
        "flag": [True, None],
        "kind": ["a", None],
        "when": ["2020-04-08 05:00:00", None],
        "day": ["2020-04-08", None],
        "list_0": [1.0, None],
        "list_1": [2.0, None],
        "empty": ["", None],
        "a.b": [1, 2],
    }
    assert loaded.repairs == ["nested values unpacked: list_0, list_1"]
    assert table_reader.read(table(parquet(frame), "t.parquet"), columns=["kind"]).frame.columns.tolist() == ["kind"]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("statistics", [True, False, ["full"]])
def test_missing_values_are_found_with_and_without_statistics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statistics: bool | list[str], nested: bool
) -> None:
    """The statistics of a file spare a pass over it, unless they are incomplete or columns are nested."""
    columns = {"full": [1, 2, 3], "some": [1.5, None, 2], "text": ["a", None, None], "nan": [math.nan, 1, 2]}
    more = {"pairs": [{"x": 1, "y": None}, None, {"x": None, "y": 2}]} if nested else {}
    pq.write_table(pa.table(columns | more), tmp_path / "t.parquet", write_statistics=statistics, row_group_size=2)
    counting = Mock(side_effect=parquet_format._counted_missing)
    monkeypatch.setattr(parquet_format, "_counted_missing", counting)
    layout = table_reader.survey(tmp_path / "t.parquet")
    more_missing = {"pairs_x": True, "pairs_y": True} if nested else {}
    missing = {name: kind.missing for name, kind in layout.columns.items()}
    assert missing == {"full": False, "some": True, "text": True, "nan": False, **more_missing}
    assert counting.called == (nested or statistics is not True)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_invalid_parquet_is_rejected(table: Callable[..., Path], content: bytes) -> None:
    """A truncated file, and another format with this suffix, are refused."""
    with pytest.raises(DataError, match=r"t.parquet: expected Parquet"):
        table_reader.read(table(content, "t.parquet"))
    with pytest.raises(DataError, match=r"t.parquet: expected rows; received none"):
        table_reader.read(table(parquet(pd.DataFrame({"x": []})), "t.parquet"))


def test_unsupported_format_settings_are_rejected(table: Callable[..., Path]) -> None:
    """A delimiter for Parquet is refused."""
    for name in ("t.parquet", "t.jsonl"):
        with pytest.raises(DataError, match=r"source\.read: delimiter, header: expected only for delimited text"):
            table_reader.read(table(b"", name), Dialect(delimiter=",", header=True))


def test_nested_parquet_is_unpacked(tmp_path: Path) -> None:
    """Structs and lists of one length become columns; zones, decimals and durations are read, too."""
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    columns = {
        "when": pa.array([start, None], pa.timestamp("us", "Europe/Berlin")),
        "price": pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
        "took": pa.array([dt.timedelta(minutes=2), None], pa.duration("ms")),
        "place": pa.array([{"lat": 1.5, "tag": {"k": "a"}}, None]),
        "pair": pa.array([[1, 2], [3, 4]], pa.list_(pa.int32(), 2)),
        "any": pa.array([[1], [1, 2]]),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    loaded = table_reader.read(tmp_path / "t.parquet")
    values = {name: [None if pd.isna(v) else v for v in cells] for name, cells in loaded.frame.to_dict("list").items()}
    assert values == {
        "when": ["2024-01-01 01:00:00+0100", None],
        "price": [1.25, None],
        "took": [120.0, None],
        "place_lat": [1.5, None],
        "place_tag_k": ["a", None],
        "pair_0": [1, 3],
        "pair_1": [2, 4],
        "any": ["[1]", "[1, 2]"],
    }
    assert loaded.repairs[1:] == [
        "nested values unpacked: place_lat, place_tag_k",
        "nested values unpacked: pair_0, pair_1",
    ]
    chosen = table_reader.read(tmp_path / "t.parquet", columns=["pair_1", "place_lat"]).frame
    assert chosen.columns.tolist() == ["pair_1", "place_lat"]
