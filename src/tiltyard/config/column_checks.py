"""Checks of the columns of a task file: all series have the same steps, and derived features name number columns."""

from __future__ import annotations

from collections.abc import Mapping

from tiltyard.modeling.columns._derived import Derived
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.problems.base import Target


def series_error(columns: Mapping[str, Column], target: Target) -> str:
    """Check that all series of a task have the same time steps."""
    series_names = ", ".join(columns)
    if any(column.type != "series" for column in columns.values()):
        return f"columns: expected only series columns, or none; received {series_names}"
    if target.column not in columns:
        return f"target.column: expected one of the series {series_names}; received {target.column}"
    ways = [column.model_dump(include={"window", "order", "group", "steps"}) for column in columns.values()]
    if any(way != ways[0] for way in ways):
        return "columns: expected the same window, order, group and steps in each series"
    settings = columns[target.column].model_dump()
    if not target.rise and settings.get("relative", False) and settings.get("log", False) != target.log:
        return "target.log: expected the same as log of its column, which is relative"
    return ""


def derived_error(derived: Mapping[str, Derived], columns: Mapping[str, Column], target: Target) -> str:
    """Check that derived features have names of their own, and are computed from number columns of a table."""
    numbers = ", ".join(name for name, column in columns.items() if isinstance(column, Number))
    for name, feature in derived.items():
        if name in columns or name in target.names:
            return f"derived.{name}: expected a name that no column and no target has"
        for operand in feature.of:
            column = columns.get(operand)
            if not isinstance(column, Number):
                return f"derived.{name}.of: expected number columns out of {numbers or 'none'}; received {operand}"
            if column.log:
                return f"derived.{name}.of: expected a column that keeps its values, without log; received {operand}"
    return ""
