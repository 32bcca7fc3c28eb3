"""Complete splits: the conditions under which a table may use all its rows for training, validation and test."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tiltyard.config.sections import Split
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category


def combinations(columns: Mapping[str, Column]) -> int | None:
    """Return how many different rows columns can have; None if it is not a known number."""
    counts = [_value_count(column) for column in columns.values()]
    return None if None in counts else math.prod(count for count in counts if count)


def _value_count(column: Column) -> int | None:
    if isinstance(column, Boolean) and column.missing == "refuse":
        return 2
    if isinstance(column, Category) and column.missing == column.unseen == "refuse":
        return len(column.names)
    return None


def find_error(split: Split, columns: Mapping[str, Column], rows: tuple[int, int], folds: int | None) -> str:
    """Return why the split may not be complete: key, expected, received; empty if it may, or is not.

    Otherwise a task could show its training error as if it were that of new rows.
    """
    if not split.complete:
        return ""
    if (expected := combinations(columns)) is None:
        unbounded = next(name for name, column in columns.items() if _value_count(column) is None)
        wanted = "expected random, unless all columns are boolean, or categories with `values`, and none may be missing"
        return f"split.kind: {wanted}; received complete, with the {columns[unbounded].type} column {unbounded}"
    if rows != (expected, expected):
        return (
            f"rows: expected [{expected}, {expected}] for a complete split, each combination of the columns' values "
            f"once; received {list(rows)}"
        )
    return f"train.folds: expected none for a complete split, where no row is unseen; received {folds}" if folds else ""
