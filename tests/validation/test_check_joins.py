"""`tiltyard check` on joins: all faults at once, with numbers, and without stopping at the first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from joined_tables import fetch_joined, shops, visits

from tiltyard.validation.check import check
from tiltyard.validation.findings.base import Found
from tiltyard.workspace import Workspace


def _found(workspace: Workspace, main: pd.DataFrame, joined: pd.DataFrame, **changes: object) -> list[Found]:
    checked = check(workspace, fetch_joined(workspace, main, joined, **changes))
    return [finding for finding in checked.findings if finding.code == "joins"]


def _closed(rows: int) -> pd.DataFrame:
    """Return the visits, some of a shop that is not in the list."""
    return visits().assign(shop=lambda frame: frame["shop"].where(frame.index >= rows, 77))


def test_a_complete_join_has_no_findings(workspace: Workspace) -> None:
    """Every row has one match."""
    assert _found(workspace, visits(), shops()) == []


def test_all_faults_are_reported(workspace: Workspace) -> None:
    """Repeated keys, rows without a match and joined rows without a key are found together."""
    joined = pd.concat([shops(), shops()[3:5], shops()[:1].assign(number=None)])
    repeated, unmatched, without = _found(workspace, _closed(60), joined)
    assert repeated.severity == "critical"
    assert repeated.text == "2 of 23 (8.7%) joined rows repeat a key or time: 4, 5; expected one row for each"
    assert unmatched.severity == "critical"
    assert unmatched.text == "60 of 600 (10.0%) rows have no match by shop: 77, 77, 77"
    assert without.text == "1 of 23 (4.3%) joined rows have no key or time, and match nothing"


@pytest.mark.parametrize(
    ("rows", "unmatched", "severity"),
    [(6, "drop", "note"), (60, "drop", "warning"), (60, "missing", "note"), (300, "missing", "warning")],
)
def test_severity_depends_on_what_is_lost(workspace: Workspace, rows: int, unmatched: str, severity: str) -> None:
    """Few rows left out, or values that many others have, are a note."""
    (finding,) = _found(workspace, _closed(rows), shops(), unmatched=unmatched)
    assert finding.severity == severity


def test_keys_of_other_spelling_are_shown(workspace: Workspace) -> None:
    """A key that only another case or another form keeps from its match is named with that."""
    main = visits().assign(shop=lambda frame: frame["shop"].map("Shop {}".format))
    main.loc[:9, "shop"] = "shop-07"
    joined = shops().assign(number=lambda frame: frame["number"].map("Shop {:02}".format))
    main["shop"] = main["shop"].where(main.index < 10, "Shop 11")
    (finding,) = _found(workspace, main, joined, unmatched="drop")
    assert finding.severity == "warning"
    assert "'shop-07' is 'Shop 07' in the joined table" in finding.hint


def test_old_values_are_reported(workspace: Workspace) -> None:
    """Without a maximum age, the age of the oldest value that is taken is told if it is many steps."""
    main = visits().assign(shop=pd.date_range("2024-01-01", periods=600, freq="h").astype(str))
    joined = shops().assign(number=pd.date_range("2024-01-01", periods=20, freq="h").astype(str))
    time = {"key": None, "time": {"shop": "number"}}
    (finding,) = _found(workspace, main, joined, **time)
    assert finding.text == "rows take values that are up to 24.2 days old, 580 median steps"
    (unmatched,) = _found(workspace, main, joined, **time, max_age="2d", unmatched="missing")
    assert unmatched.text.startswith("532 of 600 (88.7%) rows have no match by shop")


@pytest.mark.parametrize("joined", [False, True])
def test_new_rows_are_joined_as_well(workspace: Workspace, tmp_path: Path, joined: bool) -> None:
    """A file for --against is joined with the tables of the raw data, unless it has their columns."""
    task = fetch_joined(workspace)
    rows = visits().merge(shops(), left_on="shop", right_on="number") if joined else _closed(60)
    rows.drop(columns="bought").to_csv(tmp_path / "new.csv", index=False)
    checked = check(workspace, task, tmp_path / "new.csv")
    assert checked.rows == 600
    assert [finding.code for finding in checked.findings if finding.column == "shops"] == [] if joined else ["joins"]
