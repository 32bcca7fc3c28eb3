"""Contract of column types: values survive a round trip, and invalid values raise only RequestError."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column

# What a client may send, for any type of column.
HOSTILE: list[Any] = [None, True, 0, -1.5, 1e300, 10**400, 10**5000, "", "x", "\0", "b" * 2000, [], [[1]], {}]
HOSTILE += [{"b64": "x"}, {"a": [None]}]


def through_json(content: Any) -> Any:
    """Return the content after a round trip through JSON."""
    return json.loads(json.dumps(content, allow_nan=False))


def request_error(column: Column, values: Sequence[Any]) -> RequestError | None:
    """Return the error for invalid values; other errors propagate."""
    try:
        column.parse([*values], "x")
    except RequestError as error:
        return error
    return None


def round_trip(column: Column, values: Sequence[Any]) -> None:
    """Parsed values written as JSON parse to the same values."""
    parsed = column.parse([*values], "x")
    again = column.parse(through_json(column.to_json(parsed)), "x")
    np.testing.assert_array_equal(parsed, again)


def encodes_as_in_training(column: Column, parsed: Array, fitted: Fitted) -> None:
    """A column loaded from JSON encodes each row to the same bits as in training: finite float32 of its width."""
    encoded = column.encode(parsed, fitted)
    served = type(column).model_validate_json(column.model_dump_json())
    rows = [served.parse([value], "x") for value in through_json(served.to_json(parsed))]
    again = np.concatenate([served.encode(row, through_json(fitted)) for row in rows])
    assert encoded.dtype == np.float32
    assert len(encoded) == len(parsed)
    assert encoded.tobytes() == again.tobytes()
    assert np.isfinite(encoded).all()
    assert len(column.scaling(fitted)) in {1, encoded.shape[-1]}


def encodes_unseen(column: Column, parsed: Array, fitted: Fitted, new: Array) -> None:
    """Valid values outside the training rows are encoded as finite numbers of the same shape."""
    encoded = column.encode(new, fitted)
    assert encoded.shape == (len(new), *column.encode(parsed, fitted).shape[1:])
    assert np.isfinite(encoded).all()


def parses_or_refuses(column: Column, values: Sequence[Any]) -> None:
    """Any JSON is parsed to one value per row, or rejected with the position of the value and a short message."""
    error = request_error(column, values)
    if error is None:
        assert len(column.parse([*values], "x")) == len(values)
        return
    assert error.field.startswith("instances[")
    assert ".x" in error.field
    assert error.message


def settings_survive(column: Column) -> None:
    """A column in encoder.json equals the column of the task file."""
    assert type(column).model_validate_json(column.model_dump_json()) == column
