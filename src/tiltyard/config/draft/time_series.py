"""Tables that are series: which column is the time, how it goes on, and what a task should look back on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.errors import DataError
from tiltyard.modeling.columns._datetime_format import times
from tiltyard.modeling.columns.base import unit

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 40  # rows of a series that can be learned from
SEASONS = {0.0417: 24, 1.0: 7, 7.0: 52}  # days between rows -> rows a season
TREND = 0.5  # steps this much smaller than the spread of values: the last value says more than their mean
GROWTH = 3.0  # times the smallest value: beyond it, changes are likely to be shares rather than amounts


@dataclass(frozen=True)
class Timeline:
    """A series: the column of its times, and that of its groups if there are many."""

    order: str
    group: str | None
    spelled: str | None  # how the times are spelled, if not as ISO does
    equal: bool  # whether time goes on by equal steps
    season: int | None

    def judged(self, seen: ColumnProfile) -> ColumnProfile:
        """Return what cannot stand beside the target: what is no number, or not always there."""
        if seen.name in (self.order, self.group):
            return replace(seen, reason="tells the time" if seen.name == self.order else "tells the groups apart")
        if seen.kind != "number":
            return seen.left_out("no number: only numbers can stand beside a series")
        return seen.left_out(f"{seen.missing:,} are missing: a series has no gaps") if seen.missing else seen


def find(rows: pd.DataFrame, traits: list[ColumnProfile], target: ColumnProfile) -> Timeline | None:
    """See whether a table is one series: a single column of dates that rises with every row, and a number beside it."""
    dates = [seen for seen in traits if seen.kind == "date" and not seen.missing]
    if target.kind != "number" or target.missing or len(dates) != 1 or len(rows) < MIN_ROWS:
        return None
    moments = times(rows[dates[0].name], _spelled(dates[0]))
    return named(rows, dates[0], None) if moments.is_monotonic_increasing and moments.is_unique else None


def named(rows: pd.DataFrame, time: ColumnProfile, group: str | None) -> Timeline:
    """Take a column for the time, as asked; refuse one in which time goes back."""
    order, spelled = time.name, _spelled(time)
    moments = times(rows[order], spelled)
    if moments.isna().any():
        cell = rows[order][moments.isna()].iloc[0]
        raise DataError(f"{order}: expected a number or a date in every row; received {str(cell)[:40]!r}")
    groups = rows[group].map(str) if group else np.zeros(len(rows))
    steps = moments.groupby(groups).diff().dropna().to_numpy()
    if len(steps) and (steps < 0).all():
        raise DataError(f"{order}: expected the oldest row first; the newest comes first", f"sort the file by {order}")
    if len(steps) and not (steps > 0).all():
        told = "in each group" if group else "in the file; does it hold many series?"
        hint = f"sort the file by {order}" + ("" if group else ", or name the column that tells them apart: --group")
        raise DataError(f"{order}: expected times that rise {told}; {int((steps <= 0).sum())} do not", hint)
    equal = len(steps) > 0 and np.allclose(steps, steps[0])
    season = None if group else _season(rows[order], spelled)
    return Timeline(order, group, spelled, equal=bool(equal), season=season)


def sections(line: Timeline, rows: pd.DataFrame, series: list[ColumnProfile]) -> dict[str, Any]:
    """Return the sections of the task file that a series has in its own way; the target comes first."""
    target, *others = series
    values = rows[target.name].to_numpy(dtype=np.float64)
    groups = int(rows[line.group].nunique()) if line.group else 1
    window = _window(line, len(values) // groups)
    values = values / unit(values)  # squares stay within a float
    spread = float(np.std(values)) or 1.0
    relative = float(np.std(np.diff(values))) < TREND * spread
    log = relative and values.min() > 0 and values.max() > GROWTH * values.min()
    common = {"type": "series", "window": window, "order": line.order}
    common |= {} if line.equal else {"steps": "rising"}
    common |= {"format": line.spelled} if line.spelled else {}
    common |= {"group": line.group} if line.group else {}
    own = {"bounds": target.column["bounds"], **({"log": True} if log else {})}
    own |= {"relative": True} if relative else {}
    own |= {"season": line.season} if _repeats(values, line.season, window) else {}
    columns = {target.name: {**common, **own}}
    columns |= {seen.name: {**common, "bounds": seen.column["bounds"]} for seen in others}
    last = rows[rows[line.group] == rows[line.group].iloc[0]] if line.group else rows
    example = {name: last[name].tail(window).tolist() for name in columns}
    share = 0.2 if len(values) >= 1000 else 0.25
    return {
        "columns": columns,
        "target": {"column": target.name, **({"log": True} if log else {})},
        "split": {"kind": "chronological", "test": share, "validation": share},
        "model": {"family": "rnn" if len(values) >= 1000 else "mlp", "units": [32]},
        "serve": {"example": example if others else example[target.name]},
    }


def _repeats(values: Array, season: int | None, window: int) -> bool:
    """Return whether the value a season ago tells more than the last one: the harder baseline is the honest one."""
    if not season or season > window:
        return False
    return float(np.abs(values[season:] - values[:-season]).mean()) < float(np.abs(np.diff(values)).mean())


def _window(line: Timeline, rows: int) -> int:
    """Look back on a season or four, but leave most of the rows for learning."""
    wished = {12: 24, 7: 28, 24: 48}.get(line.season or 0, line.season or 32)
    most = max(1, rows // 10)
    return wished if wished <= most else min(line.season or most, most)


def _spelled(time: ColumnProfile) -> str | None:
    """Return the spelling of dates, unless it is the usual one."""
    spelled = time.column.get("format")
    return None if spelled is None or spelled.startswith("%Y-%m") else str(spelled)


def _season(cells: pd.Series[Any], spelled: str | None) -> int | None:
    """Guess how many rows a season has from the days between rows: months, weeks, days and hours have one."""
    import pandas as pd

    if pd.to_numeric(cells, errors="coerce").notna().all():
        return None
    moments = pd.to_datetime(cells, errors="coerce", format=spelled or "ISO8601")
    days = moments.diff().median() / pd.Timedelta(days=1)
    return 12 if 28 <= days <= 31 else SEASONS.get(round(float(days), 4))
