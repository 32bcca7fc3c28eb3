"""The target of a draft: labels or numbers, whether a logarithm helps, and what the user should know of it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiltyard.config.draft import log_target
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.label_lists import LabelLists, find_lists
from tiltyard.errors import DataError, join_first
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.problems.base import MAX_MISSING

if TYPE_CHECKING:
    import pandas as pd

    from tiltyard.config.draft.reading import DraftTable

ProblemName = Literal["regression", "classification", "multilabel", "forecasting"]
MAX_LABELS = 1000
MIN_GRADES = 4  # whole numbers in a row that may be grades
FAR = 20  # widths of the middle half: a target beyond is an outlier, unless there are several


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
        raise DataError(f"{truth.name}: expected 2 to {MAX_LABELS} labels; received {len(counts)}")
    return {"column": truth.name, "classes": sorted(counts, key=_label_order), **drop}


def notes(truth: ColumnProfile, column: pd.Series[Any], problem: ProblemName, *, explicit: bool) -> list[str]:
    """Return what the user should know of the target, in sentences."""
    if problem == "classification":
        return [] if explicit else _grades(truth)
    if truth.kind != "number" or problem != "regression":
        return []
    values = column.to_numpy(np.float64)
    scaled = np.log1p(values) if log_target.is_skewed(values) else values / unit(values)
    low, middle, high = np.quantile(scaled, [0.25, 0.5, 0.75])
    far = values[np.abs(scaled - middle) > FAR * (high - low)] if high > low else values[:0]
    if not 0 < len(far) <= max(1, 0.002 * len(values)):
        return []
    shown, middle = (
        join_first([f"{value:,.6g}" for value in far]),
        float(np.median(values / unit(values))) * unit(values),
    )
    return [f"{truth.name}: {shown} is far from all others, whose median is {middle:,.4g}: correct it, or drop the row"]


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


def refuse_lists(name: str, cells: list[str]) -> None:
    """Raise if images have several labels each, such as Action|Comedy."""
    if lists := find_lists(cells):
        text = f"expected one label for each image; received several, such as {lists.example}"
        label = labels_of(lists.example, lists.separator)[0]
        hint = f"add a column that says whether an image has one label, such as is_{label}, and name it: --target"
        raise DataError(f"{name}: {text}: Tiltyard learns several labels of a row only for tables and texts", hint=hint)


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
