"""Fill the gaps of a series: missing time steps become rows, missing values are filled as the task says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.columns.series import Series

if TYPE_CHECKING:
    import pandas as pd

MAX_GROWTH = 10  # rows after filling, for each row before
TOLERANCE = 0.01  # of a step: how far a time may be from the grid


def fill(part: pd.DataFrame, times: pd.Series[float], column: Series, names: list[str]) -> pd.DataFrame:
    """Return the rows of one series at all time steps, with values filled.

    The column `_time` holds the times, `_filled` whether the value of the first of `names` is none of the file.
    """
    place, size = _grid(times, column.order or "")
    complete = part.iloc[np.searchsorted(place, np.arange(size), side="right") - 1].reset_index(drop=True)
    inserted = ~np.isin(np.arange(size), place)
    complete.loc[inserted, names] = np.nan
    step = (times.iloc[-1] - times.iloc[0]) / max(1, size - 1)
    complete["_time"] = times.iloc[0] + step * np.arange(size)
    complete["_filled"] = complete[names[0]].isna()
    filled = _filled(complete[names], column)
    if filled.isna().any().any():
        name = str(filled.columns[filled.isna().any()][0])
        raise DataError(f"{name}: expected a value in the first row, to fill gaps after it; it is missing")
    complete[names] = filled
    return complete


def _filled(values: pd.DataFrame, column: Series) -> pd.DataFrame:
    """Return values without missing ones, except before the first one."""
    if column.gaps == "linear":
        return values.interpolate(limit_area="inside").ffill()
    if column.gaps == "season" and column.season:
        for name in values.columns:
            cells = values[name].to_numpy(np.float64, copy=True)
            for place in np.flatnonzero(np.isnan(cells)):  # in order, so that a filled value may fill a later one
                cells[place] = cells[place - column.season] if place >= column.season else np.nan
            values = values.assign(**{name: cells})
    return values.ffill()


def _grid(times: pd.Series[float], order: str) -> tuple[Array, int]:
    """Return the step of each row, counted from the first, and the number of steps."""
    values = times.to_numpy(np.float64)
    steps = np.diff(values)
    if np.isnan(values).any() or (len(steps) and not (steps > 0).all()):
        raise DataError(
            f"{order}: expected a time in each row, each later than the one before", f"sort the file by {order}"
        )
    if not len(steps):
        return np.zeros(len(values), dtype=np.int64), len(values)
    places = (values - values[0]) / float(np.median(steps))
    if (np.abs(places - np.rint(places)) > TOLERANCE + 1e-4 * places).any():
        text = (
            f"{order}: expected times in equal steps, apart from gaps; row {int(np.argmax(np.abs(places % 1)))} is not"
        )
        raise DataError(text, "resample the rows to equal steps, or set `steps: rising` and no `gaps`")
    size = int(np.rint(places[-1])) + 1
    if size > MAX_GROWTH * len(values):
        raise DataError(f"{order}: expected gaps of few steps; {len(values):,} rows would become {size:,}")
    return np.rint(places).astype(np.int64), size


def joined(frame: pd.DataFrame, parts: list[pd.DataFrame], column: Series) -> pd.DataFrame:
    """Return all series as one table, and note among its repairs how much was filled."""
    import pandas as pd

    table = pd.concat(parts, ignore_index=True)
    if added := len(table) - len(frame):
        way = {"forward": "the value before", "season": "the value a season before"}.get(
            column.gaps, "values on a line"
        )
        table.attrs["repairs"] = [*frame.attrs.get("repairs", []), f"{added:,} missing time steps filled with {way}"]
    else:
        table.attrs["repairs"] = frame.attrs.get("repairs", [])
    return table
