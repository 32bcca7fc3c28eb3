"""The target of a draft: numbers, labels or lists of labels; whether a logarithm helps; what the user should know."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.errors import DataError, join_first
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.problems.base import MAX_MISSING

if TYPE_CHECKING:
    import pandas as pd

    from tiltyard.config.draft.reading import DraftTable


from typing import TYPE_CHECKING

from tiltyard.arrays import Array
from tiltyard.modeling.references.base import one_thread

if TYPE_CHECKING:
    import pandas as pd


from collections.abc import Iterable
from dataclasses import dataclass

from tiltyard.arrays import is_missing
from tiltyard.errors import format_value

ProblemName = Literal[
    "regression", "classification", "multilabel", "forecasting", "recommendation", "anomaly", "clustering"
]
MAX_LABELS = 1000
MIN_GRADES = 4  # whole numbers in a row that may be grades
FAR = 20  # widths of the middle half: a target beyond is an outlier, unless there are several

MIN_SKEW = 1.5  # of a target for which a logarithm is tried
MAX_SKEW_OF_LOG = 0.5  # share of the skew that may be left
MAX_ROWS = 4000
MAX_COLUMNS = 100
MAX_NAMES = 10  # of a category, one feature each
SEPARATORS = ("|", ";", ",")
MIN_LISTS = 0.1  # share of the rows with several labels in one cell
MOST_PARTS = 0.7  # of the number of different cells: labels recur in other combinations
FEW_PARTS = 0.3  # as few parts are labels even if none of them is alone in a cell
MIN_ALONE = 2  # labels that are alone in some cell


def cells(table: DraftTable, truth: ColumnProfile, problem: ProblemName) -> pd.Series[Any]:
    """Return the target: labels as text, which is empty if a row may have none, or numbers, however written."""
    if problem in ("classification", "multilabel"):
        labels = table.texts(truth.name)
        signs = {sign.strip() for sign in truth.na}
        labels = labels.where(~labels.str.strip().isin(signs)) if signs else labels
        return labels.fillna("") if problem == "multilabel" else labels
    column = table.frame[truth.name]
    if truth.kind != "number":
        return column
    settings = {key: truth.column[key] for key in ("written", "na") if key in truth.column}
    return Number.model_validate({**settings, "missing": "median"}, strict=False).facts_of_cells(column)


def section(
    truth: ColumnProfile, column: pd.Series[Any], problem: ProblemName, missing: float, separator: str | None = None
) -> dict[str, Any]:
    """Return the section `target`, without a logarithm; `separator` is that of several labels."""
    drop = {"drop_missing": min(0.95, round(missing * 1.5 + 0.01, 2))} if missing > MAX_MISSING else {}
    if problem == "regression":
        if truth.kind != "number":
            raise DataError(f"{truth.name}: expected numbers for a regression; received {truth.examples}")
        settings: dict[str, Any] = {key: truth.column[key] for key in ("bounds", "written") if key in truth.column}
        return {"column": truth.name, **settings, **drop}
    if problem == "multilabel":
        return _with_several(truth.name, column, separator)
    counts = Counter(map(str, column))
    if not 2 <= len(counts) <= MAX_LABELS:
        received = f"{len(counts)}" if len(counts) != 1 else f"1, {format_value(next(iter(counts)))} in every row"
        hint = "choose a column with several values: --target" if len(counts) < 2 else "join rare labels in the file"
        raise DataError(f"{truth.name}: expected 2 to {MAX_LABELS} labels; received {received}", hint=hint)
    return {"column": truth.name, "classes": sorted(counts, key=_label_order), **drop}


def together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the section of one target, or of several numbers, each with settings of its own."""
    if len(parts) == 1:
        return parts[0]
    drop = {key: value for key, value in parts[0].items() if key == "drop_missing"}
    own = {part["column"]: {k: v for k, v in part.items() if k not in ("column", "drop_missing")} for part in parts}
    return {"columns": own, **drop}


def notes(truth: ColumnProfile, column: pd.Series[Any], problem: ProblemName, *, explicit: bool) -> list[str]:
    """Return what the user should know of the target, in sentences."""
    if problem == "classification":
        return [] if explicit else _grades(truth)
    if truth.kind != "number" or problem != "regression":
        return []
    values = column.to_numpy(np.float64)
    far = outliers(values)
    if not len(far):
        return []
    shown, middle = (
        join_first([f"{value:,.6g}" for value in far]),
        float(np.median(values / unit(values))) * unit(values),
    )
    text = f"{truth.name}: {shown} is far from all others, whose median is {middle:,.4g}: correct it, or drop the row"
    return [f"{text}; until then the absolute error is learned and judged, which few values do not decide"]


def outliers(values: Array) -> Array:
    """Return the few values that are far from all others; none if there are several, as in a long tail."""
    scaled = np.log1p(values) if is_skewed(values) else values / unit(values)
    low, middle, high = np.quantile(scaled, [0.25, 0.5, 0.75])
    far = values[np.abs(scaled - middle) > FAR * (high - low)] if high > low else values[:0]
    return far if len(far) <= max(1, 0.002 * len(values)) else values[:0]


def _grades(truth: ColumnProfile) -> list[str]:
    """Offer a regression if labels are whole numbers in a row, such as grades."""
    match = re.fullmatch(r"(-?\d+) to (-?\d+)", truth.examples)
    if truth.kind != "number" or not match:
        return []
    first, last = int(match[1]), int(match[2])
    if truth.unique < MIN_GRADES or truth.unique < 0.8 * (last - first + 1):
        return []
    text = f"{truth.name}: if {first} to {last} are grades, in order, a regression learns that 4 is between 3 and 5"
    return [f"{text}: add --problem regression"]


def note_of_lists(name: str, lists: LabelLists, cells: pd.Series[Any]) -> str:
    """Return what was read from cells with several labels, and how to change it, in a sentence."""
    sets = [labels_of(cell, lists.separator) for cell in cells]
    count, empty = len({label for labels in sets for label in labels}), sum(not labels for labels in sets)
    without = f"; {empty:,} of {len(sets):,} rows have none" if empty else ""
    text = f"{name}: several labels in a cell, {lists.described}, such as {lists.example}: {count} labels are learned"
    return f"{text}, any number for each row{without}; if this is wrong: --separator, or --problem classification"


def _with_several(name: str, cells: pd.Series[Any], separator: str | None) -> dict[str, Any]:
    """Return the section of a target whose cells hold several labels."""
    labels = sorted({label for cell in cells for label in labels_of(cell, separator)}, key=_label_order)
    if not 2 <= len(labels) <= MAX_LABELS:
        raise DataError(f"{name}: expected 2 to {MAX_LABELS} labels; received {len(labels)}")
    return {"column": name, **({"separator": separator} if separator else {}), "classes": labels}


def _label_order(label: str) -> tuple[float, str]:
    return (float(label), label) if re.fullmatch(r"-?\d+(\.\d+)?", label) else (0.0, label)


def helps(values: Array, features: list[ColumnProfile], rows: pd.DataFrame) -> bool:
    """Return whether the best simple model of the logarithm has a smaller absolute error than that of the values."""
    if not is_skewed(values):
        return False
    chosen = np.random.default_rng(0).permutation(len(values))[:MAX_ROWS]
    matrix = _matrix(features, rows.iloc[chosen])
    if not matrix.shape[1]:
        return True
    with one_thread():
        plain, log = (_error(matrix, values[chosen], log=log) for log in (False, True))
    return log < plain


def is_skewed(values: Array) -> bool:
    """Return whether the logarithm of a target is far less skewed than the target itself."""
    if len(values) < 20 or values.min() < 0 or np.median(values / unit(values)) * unit(values) < 1:
        return False
    skew = _skewness(values)
    return skew >= MIN_SKEW and abs(_skewness(np.log1p(values))) <= MAX_SKEW_OF_LOG * skew


def _skewness(values: Array) -> float:
    scaled = values / (float(np.abs(values).max()) or 1.0)
    spread = float(scaled.std())
    return float((((scaled - scaled.mean()) / spread) ** 3).mean()) if spread else 0.0


def _matrix(features: list[ColumnProfile], rows: pd.DataFrame) -> Array:
    """Return numbers, their logarithms, and flags of the most frequent names."""
    columns: list[Array] = []
    for profile in features[:MAX_COLUMNS]:
        if profile.kind == "number":
            numbers = _numbers(profile, rows[profile.name])
            columns += [numbers, np.sign(numbers) * np.log1p(np.abs(numbers))]
        elif profile.kind in ("category", "boolean"):
            names = rows[profile.name].map(str).to_numpy()
            common = rows[profile.name].map(str).value_counts().index[:MAX_NAMES]
            columns += [(names == name).astype(np.float64) for name in common]
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))


def _numbers(profile: ColumnProfile, cells: pd.Series[Any]) -> Array:
    settings = {key: profile.column[key] for key in ("written", "na") if key in profile.column}
    column = Number.model_validate({**settings, "missing": "median"}, strict=False)
    numbers: Array = np.asarray(column.facts_of_cells(cells), dtype=np.float64)
    return np.nan_to_num(numbers, nan=float(np.nanmedian(numbers)) if not np.isnan(numbers).all() else 0.0)


def _error(matrix: Array, values: Array, *, log: bool) -> float:
    """Return the mean absolute error on the second half of the rows, of the better of two models."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half, target = len(values) // 2, np.log1p(values) if log else values
    errors = []
    for model in (make_pipeline(StandardScaler(), Ridge()), HistGradientBoostingRegressor(max_iter=60, random_state=0)):
        predicted = np.asarray(model.fit(matrix[:half], target[:half]).predict(matrix[half:]))
        limit = np.log1p(values.max()) + 1 if log else np.inf
        predicted = np.expm1(np.minimum(predicted, limit)) if log else predicted
        errors.append(float(np.abs(predicted - values[half:]).mean()))
    return min(errors)


@dataclass(frozen=True)
class LabelLists:
    """How cells hold several labels, and the most frequent one with several."""

    separator: str | None  # None if they are lists
    example: str

    @property
    def described(self) -> str:
        """What stands between two labels, in words."""
        return "in a list" if self.separator is None else f"separated by {format_value(self.separator)}"


def find_lists(cells: Iterable[object], named: str | None = None, *, asked: bool = False) -> LabelLists | None:
    """Return how cells hold several labels; None if they hold one each, or if it is not sure and nobody asked.

    `named` is the separator that the user named.
    """
    counts = Counter(str(cell) for cell in cells if not is_missing(cell))
    for separator in (None, *SEPARATORS) if named is None else (named,):
        several = [cell for cell in counts if len(labels_of(cell, separator)) > 1]
        if several and (asked or _are_lists(counts, several, separator)):
            return LabelLists(separator, max(several, key=counts.__getitem__))
    return None


def _are_lists(counts: Counter[str], several: list[str], separator: str | None) -> bool:
    """Return whether cells hold labels: enough cells hold several, and the parts recur."""
    if separator is None:
        return all(cell.strip().startswith("[") for cell in counts)
    parts = {label for cell in counts for label in labels_of(cell, separator)}
    alone = sum(part in counts for part in parts)
    recurring = len(parts) < MOST_PARTS * len(counts) and (alone >= MIN_ALONE or len(parts) < FEW_PARTS * len(counts))
    return recurring and sum(counts[cell] for cell in several) >= MIN_LISTS * counts.total()
