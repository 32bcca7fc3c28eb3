"""Joins by time: each row gets the latest value that is not later; no value of the future can get in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltyard.data.joins import joined_table
from tiltyard.data.joins.joined_table import JoinedFiles
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.joins.times import LatestRows, Times
from tiltyard.data.table_reader import TableFile
from tiltyard.errors import DataError

Open = Callable[..., TableFile]
TRADES = "time,sold\n10,1\n20,2\n15,3\n30,4\n"
RATES = "time,rate\n10,.1\n18,.2\n12,.3\n"


@pytest.fixture
def open_joined(tmp_path: Path) -> Open:
    """Return a function that writes a main and a joined table, and opens them joined by time."""

    def run(main: str, joined: str, **rule: Any) -> TableFile:
        (tmp_path / "joins" / "rates").mkdir(parents=True, exist_ok=True)
        (tmp_path / "table.csv").write_text(main, encoding="utf-8")
        (tmp_path / "joins" / "rates" / "table.csv").write_text(joined, encoding="utf-8")
        settings = JoinRule.model_validate({"time": "time", "unmatched": "missing", **rule})
        return joined_table.open_table(tmp_path / "table.csv", None, JoinedFiles({"rates": settings}, tmp_path))

    return run


def _rates(table: TableFile) -> list[float | None]:
    return [None if np.isnan(rate) else rate for rate in table.to_frame()["rate"].tolist()]


def test_each_row_gets_the_latest_value(open_joined: Open) -> None:
    """Neither table has to be in order of time; the order of the main table stays."""
    assert _rates(open_joined(TRADES, RATES)) == [0.1, 0.2, 0.3, 0.2]


def test_a_value_of_the_same_time_can_be_left_out(open_joined: Open) -> None:
    """A value that is known only after its time is taken by later rows."""
    assert _rates(open_joined(TRADES, RATES, same_time=False)) == [None, 0.2, 0.3, 0.2]


@pytest.mark.parametrize(("max_age", "rates"), [(2, [0.1, 0.2, None, None]), (3.0, [0.1, 0.2, 0.3, None])])
def test_old_values_do_not_match(open_joined: Open, max_age: float, rates: list[float | None]) -> None:
    """A value is taken up to its maximum age, inclusively."""
    assert _rates(open_joined(TRADES, RATES, max_age=max_age)) == rates


def test_rows_before_the_first_value_can_be_dropped(open_joined: Open) -> None:
    """They have no match, and are treated as the task says."""
    table = open_joined("time,sold\n5,0\n" + TRADES.partition("\n")[2], RATES, unmatched="drop")
    assert table.to_frame()["sold"].tolist() == [1, 2, 3, 4]
    with pytest.raises(DataError, match=r"a match by time for every row; 1 of 5 rows have none, such as 5"):
        open_joined("time,sold\n5,0\n" + TRADES.partition("\n")[2], RATES, unmatched="refuse")


def test_repeated_times_are_refused_or_the_last_taken(open_joined: Open) -> None:
    """Which of two values of one time is right cannot be guessed; the last in the file is taken on request."""
    rates = RATES + "18,.9\n"
    with pytest.raises(DataError, match=r"expected one row for each time; 1 row repeats one: 18") as caught:
        open_joined(TRADES, rates)
    assert "joins.rates.duplicates: last" in caught.value.hint
    table = open_joined(TRADES, rates, duplicates="last")
    assert _rates(table) == [0.1, 0.9, 0.3, 0.9]
    assert "rates: 1 of its rows repeat a time: the last is taken" in table.layout.repairs


def test_missing_cells_can_be_filled_with_the_value_before(open_joined: Open) -> None:
    """Without forward_fill a missing cell stays missing; the maximum age also holds for filled values."""
    rates = "time,rate\n10,.1\n12,\n18,\n"
    assert _rates(open_joined(TRADES, rates)) == [0.1, None, None, None]
    assert _rates(open_joined(TRADES, rates, forward_fill=True)) == [0.1] * 4
    assert _rates(open_joined(TRADES, rates, forward_fill=True, max_age=5)) == [0.1, None, 0.1, None]


def test_values_are_filled_within_their_key(open_joined: Open) -> None:
    """With a key, the latest value of the same key is taken, and no other key's value fills a gap."""
    main = "shop,time,sold\na,10,1\nb,10,2\na,20,3\nb,20,4\n"
    rates = "shop,time,rate\na,9,.1\nb,15,.2\na,15,\nb,30,.4\n"
    assert _rates(open_joined(main, rates, key="shop")) == [0.1, None, None, 0.2]
    assert _rates(open_joined(main, rates, key="shop", forward_fill=True)) == [0.1, None, 0.1, 0.2]


def test_dates_with_time_zones_are_compared_in_utc(open_joined: Open) -> None:
    """10:00 in Berlin is before 10:00 in London; a later moment does not match although its text is smaller."""
    main = "time,sold\n2024-01-01T10:00:00+01:00,1\n2024-01-01T10:00:00+00:00,2\n"
    rates = "time,rate\n2024-01-01T09:30:00Z,.5\n2024-01-01T08:00:00Z,.4\n"
    assert _rates(open_joined(main, rates, max_age="90min")) == [0.4, 0.5]


@pytest.mark.parametrize(("zone", "rows"), [(None, [1, 3]), ("UTC", [1, 3]), ("Europe/Berlin", [2, 4])])
def test_timestamps_of_parquet_are_moments(tmp_path: Path, zone: str | None, rows: list[int]) -> None:
    """A typed column of times is compared with texts of another file, in its own time zone."""
    (tmp_path / "joins" / "rates").mkdir(parents=True)
    moments = pd.date_range("2024-01-01", periods=5, freq="h", tz=zone)
    pd.DataFrame({"time": moments, "rate": range(5)}).to_parquet(tmp_path / "joins" / "rates" / "table.parquet")
    mark = "Z" if zone else ""
    text = f"time,sold\n2024-01-01T01:30:00{mark},1\n2024-01-01T03:30:00{mark},2\n"
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    joins = JoinedFiles({"rates": JoinRule(time="time", unmatched="refuse")}, tmp_path)
    assert joined_table.open_table(tmp_path / "table.csv", None, joins).to_frame()["rate"].tolist() == rows


@pytest.mark.parametrize(
    ("main", "joined", "message"),
    [
        (
            "2024-01-01T10:00:00Z",
            "2024-01-01T10:00:00",
            "received dates with time zones in the main table and dates in",
        ),
        ("10", "2024-01-01", "received numbers in the main table and dates in the joined one"),
        ("2024-01-01", "2024-01-01T10:00:00Z\n2024-01-01T11:00:00", "a time zone in all times or none; received"),
        ("2024-01-01", "yesterday", "time: expected times by ISO 8601, such as .*; received 'yesterday'"),
        ("2024-01-01", "31.12.2023", "expected times by ISO 8601"),
        ("2024-01-01", "2024-01-01T10:00:00.1234567", "expected times of whole microseconds"),
    ],
)
def test_times_that_cannot_be_compared_are_refused(open_joined: Open, main: str, joined: str, message: str) -> None:
    """Moments with and without a time zone, numbers beside dates, and texts that are no times are told apart."""
    rows = "".join(f"{text},{place}\n" for place, text in enumerate(joined.split("\n")))
    with pytest.raises(DataError, match=message):
        open_joined(f"time,sold\n{main},1\n", f"time,rate\n{rows}")


def test_a_format_reads_other_dates(open_joined: Open) -> None:
    """The format holds for either table; ISO 8601 is always read."""
    table = open_joined("time,sold\n2024-01-02,1\n", "time,rate\n01.01.2024,.5\n03.01.2024,.6\n", format="%d.%m.%Y")
    assert _rates(table) == [0.5]


@pytest.mark.parametrize(("times", "max_age"), [("2024-01-02", 3), ("10", "3d")])
def test_an_age_must_have_the_unit_of_the_times(open_joined: Open, times: str, max_age: float | str) -> None:
    """A number for numbers, a duration for dates."""
    with pytest.raises(DataError, match=r"joins\.rates\.max_age: expected a"):
        open_joined(f"time,sold\n{times},1\n", f"time,rate\n{times},.5\n", max_age=max_age)


def test_a_row_without_a_time_has_no_match(open_joined: Open) -> None:
    """A missing time is neither early nor late, in either table."""
    table = open_joined("time,sold\n,1\n12,2\n", "time,rate\n11,.5\n,.7\n")
    assert _rates(table) == [None, 0.5]


def test_large_whole_numbers_are_not_rounded(open_joined: Open) -> None:
    """Nanoseconds since 1970 need more digits than a float has: one nanosecond later is later."""
    now = 1_700_000_000_000_000_001
    table = open_joined(f"time,sold\n{now},1\n{now + 2},2\n", f"time,rate\n{now + 1},.5\n{now - 1},.4\n")
    assert _rates(table) == [0.4, 0.5]
    with pytest.raises(DataError, match="expected whole numbers in both tables"):
        open_joined(f"time,sold\n{now}.5,1\n", f"time,rate\n{now},.5\n")


def test_a_value_of_the_future_cannot_leak(open_joined: Open) -> None:
    """Whatever is changed in joined rows after a time, rows up to that time stay as they are."""
    chance = np.random.default_rng(0)
    moments = chance.choice(10_000, 600, replace=False)
    rates = pd.DataFrame({"time": moments, "rate": chance.random(600).round(6)})
    rates.loc[chance.random(600) < 0.2, "rate"] = np.nan
    main = pd.DataFrame({"time": chance.integers(0, 10_000, 1000)}).assign(sold=1)
    for fill in (False, True):
        before = open_joined(main.to_csv(index=False), rates.to_csv(index=False), forward_fill=fill).to_frame()
        for now in (2500, 5000, 7500):
            forged = rates.assign(rate=rates["rate"].where(rates["time"] <= now, 99.0))
            after = open_joined(main.to_csv(index=False), forged.to_csv(index=False), forward_fill=fill).to_frame()
            known = (main["time"] <= now).to_numpy()
            pd.testing.assert_series_equal(before["rate"][known], after["rate"][known])
            assert (after["rate"][~known] == 99).any()


TIMES = st.lists(st.integers(-20, 20), min_size=1, max_size=30)


@settings(max_examples=300, deadline=None)
@given(
    left=st.lists(st.tuples(st.integers(0, 3), st.integers(-20, 20)), max_size=30),
    right=st.lists(st.tuples(st.integers(0, 2), st.integers(-20, 20)), max_size=30),
    same_time=st.booleans(),
    max_age=st.none() | st.integers(0, 10),
)
def test_rows_are_those_of_pandas(
    left: list[tuple[int, int]], right: list[tuple[int, int]], same_time: bool, max_age: int | None
) -> None:
    """For any keys and times, the row found is that of pandas.merge_asof; of equal times the last in the file."""
    main = pd.DataFrame(left, columns=["key", "time"], dtype="int64").assign(place=range(len(left)))
    joined = pd.DataFrame(right, columns=["key", "time"], dtype="int64").assign(row=range(len(right)))
    latest = LatestRows.of(joined["key"].to_numpy(), _known(joined["time"]))
    places = latest.find(main["key"].to_numpy(), _known(main["time"]), same_time=same_time, max_age=max_age)
    rows = np.where(places < 0, -1, latest.order[places] if len(latest.order) else -1)
    merged = pd.merge_asof(
        main.sort_values("time", kind="stable"),
        joined.sort_values("time", kind="stable"),
        on="time",
        by="key",
        tolerance=max_age,
        allow_exact_matches=same_time,
    )
    expected = merged.sort_values("place")["row"].fillna(-1).astype(int)
    assert rows.tolist() == expected.tolist()


@settings(max_examples=200, deadline=None)
@given(times=st.lists(st.integers(0, 30), min_size=1, max_size=30, unique=True), data=st.data())
def test_filling_is_that_of_pandas(times: list[int], data: st.DataObject) -> None:
    """Filled cells are those of ffill after sorting by time, within each key."""
    present = np.array(data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times))))
    keys = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(times), max_size=len(times))))
    frame = pd.DataFrame({"key": keys, "time": times, "row": np.where(present, np.arange(len(times)), np.nan)})
    latest = LatestRows.of(keys, _known(frame["time"]))
    filled = latest.filled(np.arange(len(times)), present)
    rows = np.where(filled < 0, -1, latest.order[filled])
    expected = frame.sort_values(["key", "time"]).groupby("key")["row"].ffill().fillna(-1).astype(int)
    assert rows.tolist() == expected.tolist()


def _known(times: pd.Series[Any]) -> Times:
    return Times(times.to_numpy(), np.ones(len(times), dtype=bool), "numbers")
