"""Time series detection for drafts: the column of times, regular steps, season, and window length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.errors import DataError, join_first
from tiltyard.modeling.columns._datetime_format import DatetimeFormat, times
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.columns.number import Number

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 40  # of a series
MAX_REPEATS = 0.05  # share of the rows with a time that repeats, of which one row is made; more are other series
MAX_GAPS = 0.3  # share of missing steps or values that are filled
SEASONS = {0.0417: 24, 1.0: 7, 7.0: 52}  # days between rows -> rows per season
MAX_STEP_RATIO = (
    0.5  # deviation of steps to deviation of values: below it, the last value predicts better than the mean
)
MIN_GROWTH = 3.0  # largest to smallest value: above it, changes are probably relative


@dataclass(frozen=True)
class Timeline:
    """A time series: the column of times, and that of groups if there are several series."""

    order: str
    group: str | None
    time_format: str | None  # the format of the times, if not ISO 8601
    equal: bool  # whether all time steps are equal
    season: int | None
    gaps: bool = False  # whether steps or values are missing, which are then filled
    sort: bool = False  # whether rows are not in order of time, and are then sorted
    repeats: int = 0  # rows with the time of another one, of which there are few

    def check_feature(self, profile: ColumnProfile) -> ColumnProfile:
        """Return the profile of a column, left out unless it is a number without missing values."""
        if profile.name in (self.order, self.group):
            return replace(
                profile, reason="the column of times" if profile.name == self.order else "the column of groups"
            )
        if profile.kind != "number":
            return profile.left_out("not a number: only numbers can be features of a series")
        if profile.missing and not (self.equal and profile.missing <= MAX_GAPS * profile.rows):
            return profile.left_out(f"{profile.missing:,} missing: too many to fill the gaps")
        return profile


def detect(rows: pd.DataFrame, profiles: list[ColumnProfile], target: ColumnProfile) -> Timeline | None:
    """Return the series that a table holds, if it has a single column of dates, which rises with every row."""
    dates = [profile for profile in profiles if profile.kind == "date" and not profile.missing]
    if why_not(rows, profiles, target) is not None:
        return None
    return from_column(rows, dates[0], None)


def why_not(rows: pd.DataFrame, profiles: list[ColumnProfile], target: ColumnProfile) -> str | None:
    """Return why a table is not a series to forecast, None if it is one; empty if it has no dates."""
    dates = [profile for profile in profiles if profile.kind == "date" and _has_days(profile)]
    if not dates:
        return ""
    name, missing = dates[0].name, dates[0].missing or target.missing
    alternative = f"to test on the latest rows instead of random ones: --time {name}"
    reasons = {
        f"{target.name} is a label, so it is classified; {alternative}": target.kind != "number",
        f"several columns of dates; to forecast by one: --time {name}": len(dates) > 1,
        f"no forecast, since {missing:,} values are missing; {alternative}": dates[0].missing > 0
        or target.missing > MAX_GAPS * target.rows,
        f"no forecast, which needs {MIN_ROWS} rows or more; received {len(rows)}": len(rows) < MIN_ROWS,
    }
    reason = next((text for text, holds in reasons.items() if holds), None) or _disorder(rows, dates[0])
    return reason and f"{join_first([date.name for date in dates])}: {reason}"


def _disorder(rows: pd.DataFrame, date: ColumnProfile) -> str | None:
    """Return why times do not make one series."""
    moments = times(rows[date.name], _time_format(date))
    if int(moments.duplicated().sum()) > MAX_REPEATS * len(moments):
        return f"no forecast, since times repeat; if the file holds several series: --time {date.name} --group COLUMN"
    if not moments.is_monotonic_increasing:
        return f"no forecast, since the rows are not in order of time; to sort and forecast them: --time {date.name}"
    return None


def _has_days(profile: ColumnProfile) -> bool:
    return DatetimeFormat(str(profile.column["format"])).has_date


def from_column(rows: pd.DataFrame, time: ColumnProfile, group: str | None) -> Timeline:
    """Return the series by a given column of times; raise if times repeat."""
    order, time_format = time.name, _time_format(time)
    moments = times(rows[order], time_format)
    if moments.isna().any():
        cell = rows[order][moments.isna()].iloc[0]
        raise DataError(f"{order}: expected a number or a date in every row; received {str(cell)[:40]!r}")
    steps = _steps_of_time(rows, moments, group)
    if sort := bool((steps < 0).any()):
        steps = _steps_of_time(rows, moments.sort_values(kind="stable"), group)
    repeated = int((steps == 0).sum())
    if repeated > MAX_REPEATS * len(rows):
        where = "in each group" if group else "in the file; does it hold several series?"
        hint = f"keep one row for each {order}" + ("" if group else ", or name the column of the series: --group")
        raise DataError(f"{order}: expected one row for each time {where}; {repeated:,} repeat the time before", hint)
    equal, gaps = _regularity(steps[steps > 0])
    season = None if group else _season(rows[order].iloc[np.argsort(moments.to_numpy(), kind="stable")], time_format)
    return Timeline(order, group, time_format, equal=equal, season=season, gaps=gaps, sort=sort, repeats=repeated)


def _steps_of_time(rows: pd.DataFrame, moments: pd.Series[float], group: str | None) -> Array:
    """Return the time between consecutive rows of each group."""
    if not group:
        return moments.diff().dropna().to_numpy()
    return moments.groupby(rows[group].map(str).reindex(moments.index)).diff().dropna().to_numpy()


def _regularity(steps: Array) -> tuple[bool, bool]:
    """Return whether steps are equal, apart from gaps of whole steps, and whether there are such gaps."""
    if not len(steps):
        return False, False
    counts = steps / float(np.median(steps))
    regular = bool((np.abs(counts - np.rint(counts)) < 0.01).all() and (counts > 0.5).all())
    gaps = bool((counts > 1.5).any())
    few_gaps = float(counts.sum()) <= len(counts) / (1 - MAX_GAPS) if regular else False
    return regular and few_gaps, regular and few_gaps and gaps


def sections(timeline: Timeline, rows: pd.DataFrame, series: list[ColumnProfile]) -> dict[str, Any]:
    """Return the sections of the task file that are specific to series; the target comes first in `series`."""
    target, *covariates = series
    values = rows[target.name].to_numpy(dtype=np.float64)
    groups = int(rows[timeline.group].nunique()) if timeline.group else 1
    window = _window(timeline, len(values) // groups)
    values = values / unit(values)  # squares stay within a float
    spread = float(np.std(values)) or 1.0
    relative = float(np.std(np.diff(values))) < MAX_STEP_RATIO * spread
    log = relative and values.min() > 0 and values.max() > MIN_GROWTH * values.min()
    common = {"type": "series", "window": window, "order": timeline.order}
    common |= {} if timeline.equal else {"steps": "rising"}
    common |= {"sort": True} if timeline.sort else {}
    common |= {"same_time": "mean"} if timeline.repeats else {}
    seasonal = _is_seasonal(values, timeline.season, window)
    if timeline.gaps or any(s.missing for s in series):
        common |= {"gaps": "season", "season": timeline.season} if seasonal else {"gaps": "forward"}
    common |= {"format": timeline.time_format} if timeline.time_format else {}
    common |= {"group": timeline.group} if timeline.group else {}
    target_settings = {"bounds": target.column["bounds"], **_written(target), **({"log": True} if log else {})}
    target_settings |= {"relative": True} if relative else {}
    target_settings |= {"season": timeline.season} if seasonal else {}
    columns = {target.name: {**common, **target_settings}}
    columns |= {
        profile.name: {**common, **_written(profile), "bounds": profile.column["bounds"]} for profile in covariates
    }
    last = rows[rows[timeline.group] == rows[timeline.group].iloc[0]] if timeline.group else rows
    example = {s.name: _steps(s, last[s.name]).dropna().tail(window).tolist() for s in series}
    share = 0.2 if len(values) >= 1000 else 0.25
    return {
        "columns": columns,
        "target": {"column": target.name, **({"log": True} if log else {})},
        "split": {"kind": "chronological", "test": share, "validation": share},
        "model": {"family": "rnn" if len(values) >= 1000 else "mlp", "units": [32], "blend_references": True},
        "serve": {"example": example if covariates else example[target.name]},
    }


def _written(profile: ColumnProfile) -> dict[str, Any]:
    """Return how the cells of a column are written, and which numbers mean a missing value."""
    return {key: profile.column[key] for key in ("written", "na") if key in profile.column}


def _steps(profile: ColumnProfile, cells: pd.Series[Any]) -> pd.Series[float]:
    """Return the numbers of a column, however they are written."""
    number = Number.model_validate({**_written(profile), "missing": "median"}, strict=False)
    return number.facts_of_cells(cells)


def _is_seasonal(values: Array, season: int | None, window: int) -> bool:
    """Return whether the value one season ago predicts better than the last one: then it is the stronger baseline."""
    if not season or season > window:
        return False
    return float(np.abs(values[season:] - values[:-season]).mean()) < float(np.abs(np.diff(values)).mean())


def _window(timeline: Timeline, rows: int) -> int:
    """Return a window of one to four seasons, or less if that exceeds a tenth of the rows."""
    preferred = {12: 24, 7: 28, 24: 48}.get(timeline.season or 0, timeline.season or 32)
    longest = max(1, rows // 10)
    return preferred if preferred <= longest else min(timeline.season or longest, longest)


def _time_format(time: ColumnProfile) -> str | None:
    """Return the format of dates, unless it begins like ISO 8601."""
    time_format = time.column.get("format")
    return None if time_format is None or time_format.startswith("%Y-%m") else str(time_format)


def _season(cells: pd.Series[Any], time_format: str | None) -> int | None:
    """Guess the number of rows per season from the time between rows: a month, week, day or hour; else None."""
    import pandas as pd

    if pd.to_numeric(cells, errors="coerce").notna().all():
        return None
    moments = pd.to_datetime(cells, errors="coerce", format=time_format or "ISO8601", utc=True)
    days = moments.diff().median() / pd.Timedelta(days=1)
    return 12 if 28 <= days <= 31 else SEASONS.get(round(float(days), 4))
