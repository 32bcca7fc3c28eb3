"""Complete splits: only a table that holds every combination of its columns' values may test on its training rows."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from workspaces import ROOT, edit_task

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import DataError, TaskError
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.preparation.prepare import prepare
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

SIZES = {"type": "category", "values": ["s", "m", "l"]}


def xor(workspace: Workspace, **changes: Any) -> None:
    """Copy the task of XOR, and change its keys; `__` stands for a dot."""
    shutil.copy(ROOT / "tasks/logic_xor.yaml", workspace.task_file("logic_xor"))
    edit_task(workspace, "logic_xor", {key.replace("__", "."): value for key, value in changes.items()})


def prepared(workspace: Workspace, table: str) -> dict[str, Any]:
    """Prepare these rows."""
    files.write_text(workspace.raw("logic_xor") / "table.csv", table)
    return prepare(workspace, loader.load(workspace, "logic_xor"))


def test_every_row_is_in_every_part(workspace: Workspace) -> None:
    """All parts have all rows, and the facts say so for every report."""
    xor(workspace)
    facts = prepared(workspace, "a,b,output\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n")
    assert facts["rows"] == {"train": 4, "validation": 4, "test": 4}
    assert "no row is unseen" in facts["notes"][0]
    parts = TrainingRows.load(workspace.out("logic_xor", "prepare"))
    assert parts.train[1].tolist() == parts.validation[1].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,0,0\n0,1,1\n1,0,1", "expected each of the 4 combinations .* once; received 3 of them in 3 rows"),
        ("0,0,0\n0,1,1\n1,0,1\n1,0,1", "received 3 of them in 4 rows"),
        ("0,0,0\n0,1,1\n1,0,1\n1,1,0\n1,1,0", "received 4 of them in 5 rows"),
    ],
)
def test_missing_or_repeated_combinations_are_refused(workspace: Workspace, rows: str, message: str) -> None:
    """A sample must be split, since other rows exist that it says nothing about."""
    xor(workspace)
    with pytest.raises(DataError, match=message):
        prepared(workspace, f"a,b,output\n{rows}\n")


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"columns__a": {"type": "number"}, "serve__example": {"a": 1, "b": True}},
        "split.kind: expected random, unless all columns are boolean.*; received complete, with the number column a",
    ),
    ({"columns__a": {"type": "boolean", "missing": "bucket"}}, "received complete, with the boolean column a"),
    ({"rows": [2, 4]}, r"rows: expected \[4, 4\] for a complete split.*; received \[2, 4\]"),
    (
        {"columns__a": SIZES, "serve__example": {"a": "s", "b": True}},
        r"rows: expected \[6, 6\] for a complete split",
    ),
    ({"split__group": "a"}, "group: expected for a random or stratified split"),
    ({"split__by": "a"}, "by: expected for a chronological or given split"),
    ({"split__rows": 10}, "rows: expected none for a complete split, which uses all; received 10"),
    (
        {"train__folds": 2, "train__restarts": None, "train__stop_at": None},
        "train.folds: expected none for a complete split, where no row is unseen; received 2",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_settings_that_need_unseen_rows_are_refused(
    workspace: Workspace, changes: dict[str, Any], message: str
) -> None:
    """The number of combinations must be known, and be that of the rows."""
    xor(workspace, **changes)
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, "logic_xor")


def test_categories_count_as_often_as_they_have_values(workspace: Workspace) -> None:
    """Three sizes and a flag have six combinations."""
    xor(workspace, columns__a=SIZES, rows=[6, 6], serve__example={"a": "s", "b": True})
    rows = "\n".join(f"{size},{flag},{flag}" for size in "sml" for flag in (0, 1))
    assert prepared(workspace, f"a,b,output\n{rows}\n")["rows"]["test"] == 6


def test_intervals_of_all_rows_that_exist_are_the_value() -> None:
    """Nothing is drawn, so any difference between two models is real."""
    ends = Bootstrap(4, 0, 0.95, complete=True).intervals(lambda rows: {"mean": float(rows.mean())})
    assert ends == {"mean": (1.5, 1.5)}
    drawn = Bootstrap(4, 0, 0.95).intervals(lambda rows: {"mean": float(rows.mean())})["mean"]
    assert drawn[0] < 1.5 < drawn[1]
