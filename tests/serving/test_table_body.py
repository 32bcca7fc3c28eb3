"""Table bodies: rows of CSV and Parquet are instances as in JSON, and hostile files are refused."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.errors import RequestError
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import table_body

PREDICT = "/v1/models/iris:predict"
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
HEADER = ",".join(NAMES)
CSV = {"Content-Type": "text/csv; charset=utf-8"}
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}


def make_rows(count: int = 3) -> list[dict[str, float]]:
    """Return some flowers."""
    return [dict(zip(NAMES, (5.1, 3.5, 1.4 + row / 1000, 0.2), strict=True)) for row in range(count)]


def as_parquet(table: pd.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    file = io.BytesIO()
    table.to_parquet(file)
    return file.getvalue()


def error_code(response: Any) -> str:
    """Return the code of an error."""
    assert 400 <= response.status_code < 500
    found: str = response.json()["error"]["code"]
    return found


def test_table_gets_the_predictions_of_its_rows(client: TestClient) -> None:
    """Tables with any column order, extra columns, byte order mark or quotes get the predictions of their rows."""
    expected_predictions = client.post(PREDICT, json={"instances": make_rows()}).json()
    table = pd.DataFrame(make_rows()).assign(note=["a,b", 'c"d', "e\nf"])[[*reversed(NAMES), "note"]]
    text = "\ufeff" + table.to_csv(index=False).replace("\n", "\r\n") + "\r\n\r\n"
    assert client.post(PREDICT, content=text.encode(), headers=CSV).json() == expected_predictions
    assert client.post(PREDICT, content=as_parquet(table), headers=PARQUET).json() == expected_predictions


def test_numeric_categories_are_parsed_alike_in_csv_and_parquet(client: TestClient, app: Starlette) -> None:
    """A category of digits is the same in CSV and Parquet."""
    served: LoadedModel = app.state.models["diabetes"]
    table = pd.DataFrame([served.schema["example"]])
    expected_predictions = served.predict([served.schema["example"]])
    for content, headers in ((table.to_csv(index=False).encode(), CSV), (as_parquet(table), PARQUET)):
        response = client.post("/v1/models/diabetes:predict", content=content, headers=headers)
        assert response.json()["predictions"] == pytest.approx(expected_predictions)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "missing_field"),
        (HEADER.encode(), "no_instances"),
        (b"a,b\n1,2", "missing_field"),
        (f"{HEADER},{HEADER}\n".encode(), "malformed_csv"),
        (f"{HEADER}\n1,2,3".encode(), "wrong_shape"),
        (f"{HEADER}\n5,3,x,0.2".encode(), "wrong_type"),
        (f"{HEADER}\n5,3,,0.2".encode(), "wrong_type"),
        (f'{HEADER}\n5,3,"1.4'.encode(), "malformed_csv"),
        (HEADER.encode() + b"\n\xff", "malformed_csv"),
        (f"{HEADER}\n5,3,{'1' * 400},0.2".encode(), "not_finite"),
        (HEADER.encode() + b"\n5.1,3.5,1.4,0.2" * 2000, "too_many"),
    ],
)
def test_invalid_csv_is_refused(client: TestClient, body: bytes, expected: str) -> None:
    """Invalid CSV is refused with an error in the service's format."""
    assert error_code(client.post(PREDICT, content=body, headers=CSV)) == expected


def test_invalid_parquet_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damaged files, missing columns, too many rows and a missing pyarrow are refused."""
    whole = as_parquet(pd.DataFrame(make_rows()))
    assert error_code(client.post(PREDICT, content=whole[:-9], headers=PARQUET)) == "malformed_parquet"
    assert (
        error_code(client.post(PREDICT, content=as_parquet(pd.DataFrame({"a": [1]})), headers=PARQUET))
        == "missing_field"
    )
    bomb = as_parquet(pd.concat([pd.DataFrame(make_rows(1))] * 100_000))
    assert len(bomb) < 20_000
    assert error_code(client.post(PREDICT, content=bomb, headers=PARQUET)) == "too_many"
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RequestError, match="Parquet needs pyarrow, which the service does not have") as refusal:
        table_body.require_pyarrow()
    assert refusal.value.status == 415


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_images_and_series_as_tables_are_refused(client: TestClient, name: str) -> None:
    """Models of images and series refuse tables."""
    assert error_code(client.post(f"/v1/models/{name}:predict", content=b"image\n1", headers=CSV)) == "unsupported_type"


PIECES = st.sampled_from([HEADER, "\n", ",", '"', "5.1", "x", "\r", "\x00", "é", "-", "1e999"])


@given(parts=st.lists(PIECES, max_size=12), raw=st.binary(max_size=60), is_parquet=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_table_gets_a_valid_response(client: TestClient, parts: list[str], raw: bytes, is_parquet: bool) -> None:
    """No table causes a failure."""
    content = HEADER.encode() + b"\n" + "".join(parts).encode() + raw
    response = client.post(PREDICT, content=content, headers=PARQUET if is_parquet else CSV)
    assert response.status_code in (200, 400, 413)


def parquet_bytes(columns: dict[str, Any], compression: str = "snappy") -> bytes:
    """Return columns as a Parquet file."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression=compression)
    return file.getvalue()


def identical_columns(column: Any) -> dict[str, Any]:
    """Return a table with identical columns."""
    return dict.fromkeys(NAMES, column)


def repeated_text_column(rows: int, length: int) -> pa.Array:
    """Return a column with one text in every row, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["1" * length]))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (parquet_bytes(identical_columns([1.4]), "zstd"), "unsupported_type"),
        (parquet_bytes(identical_columns([[1.4] * 1000])), "wrong_type"),
        (parquet_bytes(identical_columns([b"1.4"])), "wrong_type"),
        (parquet_bytes(identical_columns([{"a": 1.4}])), "wrong_type"),
        (parquet_bytes(identical_columns(repeated_text_column(1000, 1_000_000))), "body_too_large"),
    ],
    ids=["unbounded compression", "lists", "bytes", "records", "a long text in every row"],
)
def test_parquet_that_unpacks_to_gigabytes_is_refused(client: TestClient, content: bytes, expected: str) -> None:
    """A small file that would unpack to gigabytes is refused before unpacking."""
    assert len(content) < 1_000_000
    before = pa.total_allocated_bytes()
    assert error_code(client.post(PREDICT, content=content, headers=PARQUET)) == expected
    assert pa.total_allocated_bytes() - before < 100e6


@pytest.mark.parametrize("everywhere", [True, False])
def test_footer_with_a_wrong_row_count_is_harmless(client: TestClient, everywhere: bool) -> None:
    """If the whole footer claims one row instead of a million, one is read; an inconsistent footer is refused."""
    content = parquet_bytes(identical_columns([3.5] * 1_000_003))
    encoded_rows, one = bytes([0x86, 0x89, 0x7A]), bytes([0x82, 0x80, 0])  # 2,000,006 and 2, seven bits a byte
    offsets = [match.start() for match in re.finditer(re.escape(encoded_rows), content)]
    for offset in offsets if everywhere else [offsets[0], offsets[-1]]:
        content = content[:offset] + one + content[offset + 3 :]
    response = client.post(PREDICT, content=content, headers=PARQUET)
    if everywhere:
        assert len(response.json()["predictions"]) == 1
    else:
        assert error_code(response) == "malformed_parquet"
        assert "expected one value per row" in response.text


def test_numbers_stored_as_text_in_parquet_are_parsed(client: TestClient) -> None:
    """Numbers stored as texts, in each encoding of Parquet, get the same predictions."""
    expected_predictions = client.post(PREDICT, json={"instances": make_rows()}).json()
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        columns = {name: pa.array([str(row[name]) for row in make_rows()]).cast(kind) for name in NAMES}
        assert client.post(PREDICT, content=parquet_bytes(columns), headers=PARQUET).json() == expected_predictions


def varint(number: int, length: int = 0) -> bytes:
    """Return a signed varint of a Parquet footer, of a minimum length."""
    left, found = 2 * number, bytearray()
    while left > 127 or len(found) < length - 1:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes([*found, left])


def footer(content: bytes) -> int:
    """Return the offset of the footer of a Parquet file."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def replace_in_footer(content: bytes, old: int, new: int) -> bytes:
    """Return a Parquet file with another number in its footer."""
    old_bytes, offset = varint(old), footer(content)
    assert old_bytes in content[offset:]
    assert len(varint(new, len(old_bytes))) == len(old_bytes)
    return content[:offset] + content[offset:].replace(old_bytes, varint(new, len(old_bytes)))


def column_chunk(content: bytes, index: int) -> Any:
    """Return the metadata of a column chunk."""
    return pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(index)


def uncompressed_parquet(rows: int = 400, dictionary: bool = False) -> bytes:
    """Return a Parquet file without compression."""
    file, table = io.BytesIO(), pa.table({name: [3.5 + row % 7 / 100 for row in range(rows)] for name in NAMES})
    pq.write_table(table, file, compression="none", use_dictionary=dictionary, write_statistics=False)
    return file.getvalue()


def parquet_with_row_groups(groups: int) -> bytes:
    """Return a Parquet file with the given number of row groups of one row."""
    file = io.BytesIO()
    pq.write_table(pa.table(identical_columns([3.5] * groups)), file, row_group_size=1)
    return file.getvalue()


def test_many_row_groups_are_refused(client: TestClient) -> None:
    """Many row groups are refused, since each may refer to the same pages."""
    response = client.post(PREDICT, content=parquet_with_row_groups(16), headers=PARQUET)
    assert len(response.json()["predictions"]) == 16
    refusal = client.post(PREDICT, content=parquet_with_row_groups(17), headers=PARQUET)
    assert (refusal.status_code, error_code(refusal)) == (413, "too_many")
    assert "expected at most 16 row groups; received 17" in refusal.text


@pytest.mark.parametrize("dictionary", [False, True])
def test_columns_that_share_pages_are_refused(client: TestClient, dictionary: bool) -> None:
    """Column chunks that share a page are refused, since it would be unpacked for each of them."""
    content = uncompressed_parquet(dictionary=dictionary)
    first, second = column_chunk(content, 1), column_chunk(content, 2)
    attributes = ("dictionary_page_offset", "data_page_offset") if dictionary else ("data_page_offset",)
    for attribute in attributes:
        content = replace_in_footer(content, getattr(second, attribute), getattr(first, attribute))
    assert client.post(PREDICT, content=uncompressed_parquet(dictionary=dictionary), headers=PARQUET).status_code == 200
    response = client.post(PREDICT, content=content, headers=PARQUET)
    assert error_code(response) == "malformed_parquet"
    assert "expected column chunks that do not overlap" in response.text


@pytest.mark.parametrize("bytes_beyond", [0, 1])
def test_column_chunk_that_overlaps_the_footer_is_refused(client: TestClient, bytes_beyond: int) -> None:
    """A chunk that overlaps the footer or precedes the first page is refused."""
    content = uncompressed_parquet()
    last = column_chunk(content, 3)
    end = last.data_page_offset + last.total_compressed_size
    new_offset = last.data_page_offset + footer(content) - end + bytes_beyond
    response = client.post(
        PREDICT, content=replace_in_footer(content, last.data_page_offset, new_offset), headers=PARQUET
    )
    assert ("expected column chunks before the footer" in response.text) == bool(bytes_beyond)
    overlapping = replace_in_footer(content, column_chunk(content, 1).data_page_offset, 0)
    assert (
        "expected column chunks that do not overlap" in client.post(PREDICT, content=overlapping, headers=PARQUET).text
    )


def test_unpacked_size_is_checked_before_reading_pages(client: TestClient) -> None:
    """The unpacked size is checked by the footer, before any (here damaged) page is read."""
    content = parquet_bytes(identical_columns(["1" * 9_000_000]))
    damaged = content[:4] + bytes(footer(content) - 4) + content[footer(content) :]
    refusal = client.post(PREDICT, content=damaged, headers=PARQUET)
    assert (refusal.status_code, error_code(refusal)) == (413, "body_too_large")
