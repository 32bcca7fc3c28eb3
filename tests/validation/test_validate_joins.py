"""Validation of joined tables: each is checked as its source wrote it, and the joined rows as those of one table."""

from __future__ import annotations

import pandas as pd
import pytest
from joined_tables import fetch_joined, shops, visits

from tiltyard import files
from tiltyard.errors import DataError
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


def test_every_table_is_validated(workspace: Workspace) -> None:
    """Outcomes of a joined table name it; expectations of joined columns are those of the task."""
    expect = [{"expectation": "expect_column_values_to_be_between", "arguments": {"column": "size", "min_value": 0}}]
    validation = validate(workspace, fetch_joined(workspace, expect=expect))
    assert validation.rows == 600
    columns = [outcome.column for outcome in validation.outcomes if outcome.success]
    assert {"size", "town", "shops: number", "shops: size"} <= {*columns}
    assert len(columns) == len(validation.outcomes)
    assert "shops: size" in "".join(
        path.read_text(encoding="utf-8") for path in workspace.out("visits", "docs").rglob("*.html")
    )


def test_repeated_key_fails_by_great_expectations(workspace: Workspace) -> None:
    """The repeated rows are named before the tables are joined; Data Docs show them."""
    with pytest.raises(DataError, match=r"shops: number: expect_column_values_to_be_unique: 2 rows: 4 \(5\), 20 \(5\)"):
        validate(workspace, fetch_joined(workspace, joined=pd.concat([shops(), shops().iloc[4:5]])))
    result = files.read_json(workspace.out("visits", "docs") / "result.json")
    assert result["failed"] == {"critical": 1, "warning": 0}


def test_bad_joined_value_is_named_in_both_tables(workspace: Workspace) -> None:
    """A value that the task does not allow fails in the joined rows."""
    joined = shops().assign(town=["paris", *shops()["town"][1:]])
    with pytest.raises(DataError, match=r"town: expect_column_values_to_be_in_set .* rows"):
        validate(workspace, fetch_joined(workspace, joined=joined))


def test_rows_without_a_match_are_reported(workspace: Workspace) -> None:
    """Left out rows are a repair in the report; refused ones an error."""
    main = visits()
    main.loc[:9, "shop"] = 99
    validation = validate(workspace, fetch_joined(workspace, main, unmatched="drop"))
    assert validation.rows == 590
    assert "shops: 10 of 600 rows have no match: left out" in validation.repairs
    with pytest.raises(DataError, match=r"joins\.shops: expected a match by shop for every row; 10 of 600 rows"):
        validate(workspace, fetch_joined(workspace, main))
