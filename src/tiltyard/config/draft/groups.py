"""Find the column that says which rows belong together, such as several visits of one patient."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.request import DraftRequest, as_asked
from tiltyard.modeling.columns.base import unit

if TYPE_CHECKING:
    import pandas as pd

NAMED = re.compile(
    r"(?i)^(patient|subject|user|customer|client|person|participant|proband|household|family|student|member|speaker|"
    r"author|animal|plant|plot|device|machine|engine|sensor|vehicle|session|visit|case|account|company|school|hospital)s?"
    r"([ _-]?(id|key|nr|no|num|number|code))?$"
)
MIN_GROUPS = 20
MIN_ROWS_EACH = 2.0  # on average
MIN_ALIKE = 0.98  # of the rows, or of the variance of a number, that the group decides


def find(traits: list[ColumnProfile], rows: pd.DataFrame, target: str) -> tuple[str, bool]:
    """Return the column of groups by its name, and whether rows of a group have the same target; '' if none."""
    for profile in traits:
        if not NAMED.search(profile.name) or profile.kind not in ("category", "number") or profile.missing:
            continue
        codes, groups = _codes(rows[profile.name])
        if groups >= MIN_GROUPS and len(rows) >= MIN_ROWS_EACH * groups:
            return profile.name, _decides(codes, groups, rows[target])
    return "", False


def applied(
    request: DraftRequest, rows: pd.DataFrame, traits: list[ColumnProfile]
) -> tuple[DraftRequest, list[ColumnProfile], list[str]]:
    """Keep rows that belong together in one part, if these have the same target; else say how to."""
    kept = [profile for profile in traits if profile.name not in request.drop]
    name, alike = find(kept, rows, request.target)
    notes = [advice(name, request.target, alike=alike)] if name else []
    if not alike:
        return request, traits, notes
    request = replace(request, group=name)
    return request, [as_asked(profile, request) for profile in traits], notes


def advice(name: str, target: str, *, alike: bool) -> str:
    """Return what was decided about groups, in a sentence."""
    if alike:
        text = f"rows of one {name} have the same {target}, so they are kept in one part of the split (split.group)"
        return f"{name}: {text}; if new rows come from the same ones: remove split.group"
    return f"{name}: if new rows come from others than these, keep rows of one in the same part: --group {name}"


def _codes(cells: pd.Series[Any]) -> tuple[Array, int]:
    names, codes = np.unique(cells.map(str).to_numpy(dtype=np.str_), return_inverse=True)
    return codes, len(names)


def _decides(codes: Array, groups: int, truth: pd.Series[Any]) -> bool:
    """Return whether the group decides the target: by its most frequent label, or by the variance within it."""
    if truth.dtype.kind in "if" and truth.nunique() > MIN_GROUPS:
        values = truth.to_numpy(np.float64) / unit(truth.to_numpy(np.float64))
        means = np.bincount(codes, values, groups) / np.bincount(codes, minlength=groups)
        return bool(np.var(values - means[codes]) <= (1 - MIN_ALIKE) * np.var(values))
    labels, names = _codes(truth)
    counts = np.zeros((groups, names), dtype=np.int64)
    np.add.at(counts, (codes, labels), 1)
    alike = counts.max(axis=1).sum() / len(codes)
    overall = np.bincount(labels).max() / len(codes)
    return bool(alike >= MIN_ALIKE and overall < MIN_ALIKE)
