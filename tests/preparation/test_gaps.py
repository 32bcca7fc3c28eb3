"""Gaps of series: missing steps become rows, values are filled as the task says, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.series import Series
from tiltyard.preparation.modalities import _gaps


def series(**settings: Any) -> Series:
    """Return a column with gaps."""
    settings = {"type": "series", "window": 2, "order": "day", "gaps": "forward", **settings}
    return Series.model_validate(settings, strict=False)


def filled(times: list[float], values: list[float], gaps: str = "forward") -> pd.DataFrame:
    """Fill the gaps of one series."""
    frame = pd.DataFrame({"day": times, "x": values})
    return _gaps.fill(frame, frame["day"].astype(float), series(gaps=gaps), ["x"])


@given(st.sets(st.integers(0, 60), min_size=12, max_size=60), st.floats(0.5, 1e6))
def test_all_steps_are_there_and_known_values_stay(steps: set[int], unit: float) -> None:
    """The grid is complete, known values are unchanged, and others repeat the value before."""
    places = sorted(steps)
    if np.median(np.diff(places)) != 1 or places[-1] - places[0] >= 5 * len(places):
        return
    whole = filled([place * unit for place in places], [float(place) for place in places])
    known = np.arange(places[0], places[-1] + 1)
    assert len(whole) == len(known)
    assert whole["x"].tolist() == [max(place for place in places if place <= step) for step in known.tolist()]
    assert np.allclose(whole["_time"], known * unit)


def test_values_may_lie_on_a_line() -> None:
    """With `linear`, missing values lie between their neighbours."""
    whole = filled([0, 1, 2, 5, 6], [0, 1, np.nan, 5, 6], "linear")
    assert whole["x"].tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6])


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ([0, 1, 2.4, 3], [1, 2, 3, 4], "expected times in equal steps, apart from gaps; row 2"),
        ([0, 1, 1, 2], [1, 2, 3, 4], "each later than the one before"),
        ([0, 1, 2], [np.nan, 2, 3], "x: expected a value in the first row"),
        ([0, 1, 2, 900], [1, 2, 3, 4], "expected gaps of few steps; 4 rows would become 901"),
    ],
)
def test_what_cannot_be_filled_is_refused(times: list[float], values: list[float], message: str) -> None:
    """Irregular times, a missing start and enormous gaps are errors."""
    with pytest.raises(DataError, match=message):
        filled(times, values)


def test_gaps_need_times_in_equal_steps() -> None:
    """Without a column of times there is no gap to see."""
    with pytest.raises(ValueError, match="gaps: expected a column of times in `order`"):
        series(order=None)


def test_a_window_may_hold_cells_of_the_file() -> None:
    """Texts in the declared format are numbers, also among numbers; others are refused by their place."""
    column = series(written={"symbols": ["°C"]}, bounds=[0, 40])
    assert column.parse([["20.1 °C", 21]], "x").tolist() == [[20.1, 21.0]]
    assert column.json_schema()["items"]["type"] == ["number", "string"]
    with pytest.raises(RequestError, match=r"expected 0 to 40; received 99"):
        column.parse([["99 °C", 21]], "x")
    with pytest.raises(RequestError, match=r"a text such as 1234.5 °C; received 'warm'"):
        column.parse([["warm", 21]], "x")
