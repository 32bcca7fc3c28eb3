"""Expectations that a task implies: from its rows, the bounds and values of its columns, and its target.

Those of one column are in its class, in modeling/columns/.
"""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.expectation import Expectation, between, in_set, not_null, row_count


def implied_expectations(task: Task, *, drops_rows: bool) -> list[Expectation]:
    """Return the expectations; `drops_rows` says whether rows without a target may be left out."""
    columns = [e for name, column in task.columns.items() for e in column.expectations(name)]
    return [row_count(task.rows), *columns, *_target_expectations(task, drops_rows=drops_rows)]


def _target_expectations(task: Task, *, drops_rows: bool) -> list[Expectation]:
    name, bounds = task.target.column, task.target.bounds
    share = task.target.drop_missing if drops_rows else 0.0
    required = name not in task.columns and task.problem != "multilabel"  # where an empty cell has no labels
    expected = [not_null(name, 1 - share)] if required else []
    expected += [between(name, bounds)] if bounds else []
    return expected + ([in_set(name, task.target.labels)] if task.target.labels else [])
