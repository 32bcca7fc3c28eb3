"""Contract of all column types: values survive a round trip, and invalid values raise only RequestError."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hostile_images import bomb
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tiltyard import plugins
from tiltyard.arrays import Array, Fitted, decoded
from tiltyard.contracts import columns as contract
from tiltyard.contracts.columns import request_error
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.base import Column, tidy
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.date import Date
from tiltyard.modeling.columns.id import Id
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.prose import Prose
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.columns.text import Text

NUMBERS = st.floats(-3e38, 3e38) | st.integers(-(10**6), 10**6)
BOUNDED = st.floats(-1, 1)
POSITIVE = st.floats(0, 3e38)
WINDOWS = st.lists(NUMBERS, min_size=3, max_size=3)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(
    lambda name: name.strip() != ""
)
DAYS = st.dates().map(str)
MINUTES = st.datetimes(datetime(1969, 1, 1), datetime(2068, 12, 31))  # noqa: DTZ001 - a format without an offset
SECONDS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30))  # noqa: DTZ001 - it gets its offset below
OFFSETS = st.integers(-12 * 60, 12 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
WORDS = ["good", "Bad", "don't", "£100", "नमस्ते", "日本語", "👍🏽", "\ud800", "\0"]
TEXTS = st.lists(st.sampled_from(WORDS)).map(lambda words: " ".join(["So", *words]))

PROMPTS = st.builds(
    lambda prompt, length, temperature: {"prompt": prompt, "length": length, "temperature": temperature},
    TEXTS,
    st.integers(1, 2000),
    st.floats(0, 10) | st.integers(0, 10),
)


def pixel_lists(height: int, width: int, channels: int) -> st.SearchStrategy[Any]:
    """Return nested lists of pixels."""
    pixel: st.SearchStrategy[Any] = st.integers(0, 255)
    if channels > 1:
        pixel = st.lists(pixel, min_size=channels, max_size=channels)
    return st.lists(st.lists(pixel, min_size=width, max_size=width), min_size=height, max_size=height)


# For each type, columns and strategies for valid values.
VALID: dict[str, list[tuple[Column, st.SearchStrategy[Any]]]] = {
    "number": [
        (Number(), NUMBERS),
        (Number(bounds=(-1, 1), unit="m"), BOUNDED),
        (Number(missing="median"), NUMBERS | st.none()),
        (Number(clip=(0.1, 0.8), log=True, missing="median"), POSITIVE | st.none()),
    ],
    "category": [
        (Category(values=["a", "b", 3]), st.sampled_from(["a", "b", 3])),
        (Category(values=["a", "b", 3], drop_first=True), st.sampled_from(["a", "b", 3])),
        (Category(values=["a"], unseen="bucket"), NAMES),
        (Category(values=["a", 1], missing="bucket"), st.sampled_from(["a", 1, None])),
        (Category(unseen="bucket", missing="bucket", top=2), NAMES | st.none()),
    ],
    "id": [(Id(), NAMES), (Id(na=["none"]), st.integers(-(2**62), 2**62))],
    "boolean": [
        (Boolean(), st.booleans() | st.integers(0, 1)),
        (Boolean(missing="bucket"), st.booleans() | st.none()),
    ],
    "date": [
        (Date(), DAYS),
        (Date(bounds=("2000-01-01", "2001-01-01"), missing="median"), st.sampled_from(["2000-02-29", None])),
        (Date(format="%d.%m.%y, %I:%M %p"), MINUTES.map(lambda t: t.strftime("%d.%m.%y, %I:%M %p"))),
        (Date(format="%B %Y"), MINUTES.map(lambda t: t.strftime("%B %Y"))),
        (
            Date(format="%Y-%m-%dT%H:%M:%S.%f%z", missing="median"),
            st.builds(lambda t, zone: t.replace(tzinfo=zone).isoformat(timespec="microseconds"), SECONDS, OFFSETS),
        ),
    ],
    "text": [
        (Text(), TEXTS),
        (Text(length=2, vocabulary=2, at_least=1, lower=False, missing="empty"), TEXTS | st.none() | st.just("")),
        (Text(by="characters", length=9, at_least=1), TEXTS),
        (Text(length=2, keep="last", at_least=1), TEXTS),
    ],
    "prose": [(Prose(length=8), TEXTS | PROMPTS)],
    "series": [
        (Series(window=3, order="t"), WINDOWS),
        (Series(window=3, order="t", bounds=(-1, 1)), st.lists(BOUNDED, min_size=3, max_size=3)),
    ],
    "image": [
        (Image(height=2, width=3), pixel_lists(2, 3, 1)),
        (Image(height=2, width=1, channels=3), pixel_lists(2, 1, 3)),
        (Image(height=2, width=3, resize=True), pixel_lists(2, 3, 1)),
    ],
}
COLUMNS = [
    pytest.param(column, id=f"{name}-{i}") for name, cases in VALID.items() for i, (column, _) in enumerate(cases)
]
CASES = [pytest.param(*case, id=f"{name}-{i}") for name, cases in VALID.items() for i, case in enumerate(cases)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**400, 10**401) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("b64"), inner, max_size=2),
)


def test_every_column_type_is_covered() -> None:
    """A new file in columns/ needs an entry in VALID."""
    assert sorted(VALID) == plugins.names("columns")


def fit(column: Column, values: Array) -> Fitted:
    """Fit, or reject the example if it has no value to learn from."""
    try:
        return column.fit(values)
    except DataError:
        reject()


@pytest.mark.parametrize(("column", "values"), CASES)
@given(data=st.data())
@settings(deadline=None)
def test_valid_values_survive_a_round_trip(column: Column, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Parsed values written as JSON parse to the same values."""
    contract.round_trip(column, data.draw(st.lists(values, min_size=1, max_size=4)))


@pytest.mark.parametrize(("column", "values"), CASES)
@given(data=st.data())
@settings(deadline=None)
def test_training_and_serving_encode_identically(
    column: Column, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """A column loaded from JSON encodes each row to the same bits as in training: finite float32 of its width."""
    some = data.draw(st.lists(values, min_size=1, max_size=4))
    parsed = column.parse(some, "x")
    contract.encodes_as_in_training(column, parsed, fit(column, parsed))


@pytest.mark.parametrize(("column", "values"), CASES)
@given(data=st.data())
@settings(deadline=None)
def test_unseen_values_are_encoded(column: Column, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Valid values outside the training rows are encoded as finite numbers of the same shape."""
    training_values, new_values = (
        column.parse(data.draw(st.lists(values, min_size=1, max_size=4)), "x") for _ in range(2)
    )
    contract.encodes_unseen(column, training_values, fit(column, training_values), new_values)


@pytest.mark.parametrize(
    ("column", "values"), [case for case in CASES if str(case.id).split("-")[0] not in {"image", "series", "prose"}]
)
@given(data=st.data())
@settings(deadline=None)
def test_file_cells_parse_like_json(column: Column, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Text cells, and the types that file readers create, parse to the same values as JSON."""
    parsed = column.parse(data.draw(st.lists(values, min_size=1, max_size=4)), "x")
    sent = column.to_json(parsed)
    typed = [math.nan if value is None else value for value in sent]
    for cells in (sent, typed, pd.array(sent, dtype=object).tolist(), ["" if v is None else str(v) for v in sent]):
        np.testing.assert_array_equal(column.parse(column.read(cells), "x"), parsed)


ANY_CELL = st.text(max_size=3) | st.sampled_from(["", " ", "1", "1.0", " 2 ", "-0", "yes", "N", "1_0", "nan", "a", "b"])
DATES = st.dates().map(str) | st.sampled_from(["2024-02-30", "2023-02-29", "2000-02-29", "0000-01-01", "2024-1-1"])
FRAMES = [
    st.lists(ANY_CELL | st.none(), min_size=1, max_size=6).map(lambda cells: pd.Series(cells, dtype="str")),
    st.lists(DATES | st.sampled_from([None, " 2024-01-01", "2024-13-01", "٢٠٢٤-01-01"]), min_size=1, max_size=6).map(
        lambda cells: pd.Series(cells, dtype="str")
    ),
    st.lists(st.floats(), min_size=1, max_size=6).map(lambda cells: pd.Series(cells, dtype="float64")),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6).map(lambda c: pd.Series(c, dtype="int64")),
    st.lists(st.booleans(), min_size=1, max_size=6).map(lambda cells: pd.Series(cells, dtype="bool")),
    st.lists(st.booleans() | st.none(), min_size=1, max_size=6).map(lambda cells: pd.Series(cells, dtype="object")),
    st.lists(st.sampled_from([1, True, 0.0, -0.0, "1", None]), min_size=1).map(lambda c: pd.Series(c, dtype="object")),
]


def outcome(parse: Callable[[], Array]) -> tuple[Any, ...]:
    """Return the result of parsing in a form that can be compared bit by bit."""
    try:
        parsed = parse()
    except RequestError as error:
        return error.code, error.message, error.field
    return parsed.dtype.str, parsed.shape, parsed.tobytes()


@pytest.mark.parametrize(
    ("column", "values"), [case for case in CASES if str(case.id).split("-")[0] not in {"image", "series", "prose"}]
)
@given(data=st.data())
@settings(deadline=None)
def test_whole_column_is_parsed_like_its_cells(
    column: Column, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Parsing at once and cell by cell give the same bits, the same error for the same row, and the same facts."""
    cell_texts = values.map(lambda value: None if value is None else str(value).encode("utf-8", "replace").decode())
    valid = st.lists(cell_texts, min_size=1, max_size=6)
    cells = data.draw(st.one_of(*FRAMES, valid.map(lambda cells: pd.Series(cells, dtype="str"))))
    cells = cells.set_axis(range(7, 7 + len(cells)))
    expected_outcome = outcome(lambda: column.parse(column.read(cells.tolist()), "x"))
    assert outcome(lambda: column.parse_cells(cells, "x")) == expected_outcome
    if cells.dtype != object or len({*map(type, cells)}) == 1:  # Arrow has no columns of several types
        found = column.parse_arrow(file_cells(cells), "x")
        assert found is None or outcome(lambda: decoded(found)) == expected_outcome
    facts = column.facts_of_cells(cells)
    expected = pd.Series(column.facts(cells.tolist()), index=cells.index)
    assert facts.index.equals(cells.index)
    assert [*map(comparable, facts)] == [*map(comparable, expected)]


def file_cells(cells: pd.Series) -> pa.Array:
    """Return a column as the formats return it, at an offset into its buffers."""
    whole = pa.Table.from_pandas(pd.concat([cells.iloc[:1], cells]).to_frame("x"))["x"].combine_chunks()
    return (whole.cast("string") if pa.types.is_large_string(whole.type) else whole)[1:]


def test_blank_characters_match_python() -> None:
    """A column is stripped of exactly the characters that Python's strip() removes."""
    signs = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    blank = [sign for sign in signs if not sign.strip()]
    assert not any(tidy(pd.Series([text], dtype="str")) for sign in blank for text in (sign, f"a{sign}", f"{sign}a"))
    assert tidy(pd.Series([sign for sign in signs if sign.strip()], dtype="str"))


def comparable(fact: object) -> object:
    """Return a fact in a form that compares equal for all representations of missing."""
    return None if pd.isna(fact) else (type(fact).__name__, fact)  # type: ignore[call-overload]


@pytest.mark.parametrize(("column", "values"), CASES)
@given(data=st.data())
@settings(deadline=None)
def test_any_json_is_parsed_or_rejected(column: Column, values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """Any JSON is parsed to one value per row, or rejected with the position of the value."""
    contract.parses_or_refuses(column, data.draw(st.lists(JSON | values, min_size=1, max_size=3)))


@pytest.mark.parametrize("column", COLUMNS)
def test_numbers_beyond_the_digit_limit_are_rejected(column: Column) -> None:
    """Python cannot format integers of more than 4300 digits, not even in an error message."""
    error = request_error(column, [10**5000])
    assert error is not None
    assert len(error.message) < 300


def test_long_text_is_rejected() -> None:
    """One long text would make numpy allocate the same length for every row."""
    error = request_error(Category(values=["a"], unseen="bucket"), ["b" * 1001])
    assert error is not None
    assert error.code == "too_long"


@pytest.mark.parametrize("column", COLUMNS)
def test_settings_survive_a_json_round_trip(column: Column) -> None:
    """A column in encoder.json equals the column of the task file."""
    contract.settings_survive(column)


def png(height: int, width: int, mode: str = "L") -> bytes:
    """Return a PNG file of one grey value."""
    file = io.BytesIO()
    Pillow.new(mode, (width, height), 7).save(file, "PNG")
    return file.getvalue()


def as_request(content: bytes) -> list[object]:
    """Return a file in the form of a request."""
    return [{"b64": base64.b64encode(content).decode()}]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_png_of_any_mode_is_read(mode: str) -> None:
    """Palettes, colours, transparency and bit depths are converted to the channels of the column."""
    assert Image(height=2, width=3).parse(as_request(png(2, 3, mode)), "x").shape == (1, 2, 3, 1)


@pytest.mark.parametrize("content", [png(3, 2), bomb(), b"GIF89a", png(2, 3)[:40]])
def test_invalid_image_files_are_rejected(content: bytes) -> None:
    """Wrong sizes, decompression bombs, other formats and truncated files are rejected."""
    with pytest.raises(RequestError, match="expected"):
        Image(height=2, width=3).parse(as_request(content), "x")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_are_resized(mode: str, channels: Any) -> None:
    """With `resize`, a uniform colour stays uniform for any size and mode; nested lists must have the exact size."""
    column = Image(height=4, width=3, channels=channels, resize=True)
    for size in ((4, 3), (1, 1), (40, 7)):
        parsed = column.parse(as_request(png(*size, mode)), "x")
        assert parsed.shape == (1, 4, 3, channels)
        assert len(np.unique(parsed.reshape(-1, channels), axis=0)) == 1
    with pytest.raises(RequestError, match="expected numbers nested as"):
        column.parse([[[1, 2], [3, 4]]], "x")


def test_resizing_is_deterministic() -> None:
    """A resized gradient has exactly these values on every machine: a change would alter the inputs of models."""
    file = io.BytesIO()
    Pillow.fromarray(np.arange(0, 192, 3, dtype=np.uint8).reshape(8, 8), "L").save(file, "PNG")
    column = Image(height=2, width=2, resize=True)
    assert column.parse(as_request(file.getvalue()), "x")[0, :, :, 0].tolist() == [[51.0, 60.0], [129.0, 138.0]]


@pytest.mark.parametrize("content", [bomb(), b"GIF89a", png(2, 3)[:40], png(5000, 5000, "1")])
def test_resizing_rejects_bombs_and_truncated_files(content: bytes) -> None:
    """An image that declares a huge size is rejected before decoding."""
    with pytest.raises(RequestError, match="expected"):
        Image(height=2, width=3, resize=True).parse(as_request(content), "x")


def test_resize_is_written_only_if_enabled() -> None:
    """The default is omitted, so that versions of existing models stay the same."""
    assert "resize" not in Image(height=2, width=3).model_dump(mode="json")
    assert Image(height=2, width=3, resize=True).model_dump(mode="json")["resize"] is True


@given(position=st.integers(0, 68), value=st.integers(0, 255), length=st.integers(0, 68))
@settings(max_examples=500, deadline=None)
def test_damaged_files_raise_only_request_errors(position: int, value: int, length: int) -> None:
    """A changed byte or a truncation raises no other error."""
    complete = bytearray(png(2, 3))
    complete[position % len(complete)] = value
    for content in (bytes(complete), bytes(complete[:length])):
        error = request_error(Image(height=2, width=3), as_request(content))
        assert error is None or error.field == "instances[0].x"  # some damage is harmless
