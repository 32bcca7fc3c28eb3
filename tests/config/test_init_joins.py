"""`tiltyard init --join`: the drafted task reads the joined rows, and says what happens to those without a match."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from joined_tables import shops, visits

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.joins import requests
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.data import fetch
from tiltyard.errors import DataError, TaskError
from tiltyard.preparation.prepare import prepare
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


def _drafted(space: Workspace, main: pd.DataFrame, joined: pd.DataFrame, key: str, target: str = "bought") -> Task:
    """Write both files, draft a task, fetch and prepare it."""
    main.to_csv(space.root / "visits.csv", index=False)
    joined.to_csv(space.root / "shops.csv", index=False)
    draft_task(space, "visits", DraftRequest("visits.csv", target, joins=requests(["shops.csv"], [key])))
    task = loader.load(space, "visits")
    with files.atomic_folder(space.raw(task.name)) as folder:
        fetch.write_raw(task, folder, space)
    return task


def _joins(space: Workspace) -> dict[str, Any]:
    joins: dict[str, Any] = yaml.safe_load(space.task_file("visits").read_text(encoding="utf-8"))["joins"]
    return joins


def test_draft_learns_from_joined_columns(workspace: Workspace) -> None:
    """Every shop is known, so a row without one would be refused; validation and preparation pass."""
    task = _drafted(workspace, visits(), shops(), "shop=number")
    assert _joins(workspace) == {
        "shops": {"source": {"kind": "file", "path": "shops.csv"}, "key": {"shop": "number"}, "unmatched": "refuse"}
    }
    assert {"age", "size", "town"} <= {*task.columns}
    assert validate(workspace, task).failed("critical") == []
    assert sum(prepare(workspace, task)["rows"].values()) == 600


def test_rows_without_a_match_are_kept_and_told(workspace: Workspace) -> None:
    """Joined columns then allow missing values, and the draft says how many rows have some."""
    task = _drafted(workspace, visits(), shops()[:15], "shop=number")
    assert _joins(workspace)["shops"]["unmatched"] == "missing"
    text = workspace.task_file("visits").read_text(encoding="utf-8")
    assert "rows have no match, and keep missing values (unmatched: missing; drop leaves them out)" in text
    assert getattr(task.columns["size"], "missing", "") == "median"
    assert prepare(workspace, task)["notes"][0].startswith("shops: ")


def test_clashes_and_types_are_settled(workspace: Workspace) -> None:
    """Columns of one name get a prefix; 01 in one file and 1 in the other are compared as numbers."""
    joined = shops().assign(number=lambda frame: frame["number"].map("{:02}".format), age=range(20))
    _drafted(workspace, visits(), joined, "shop=number")
    assert (_joins(workspace)["shops"]["prefix"], _joins(workspace)["shops"]["match"]) == ("shops_", "number")


def test_a_join_by_time_is_drafted(workspace: Workspace) -> None:
    """latest:TIME takes the latest row that is not later; a joined file of another layout is read like a main one."""
    main = visits().assign(day=pd.date_range("2024-01-02", periods=600, freq="6h").astype(str))
    weather = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=200).astype(str), "rain": range(200)})
    _drafted(workspace, main, weather, "latest:day=date")
    assert _joins(workspace)["shops"]["time"] == {"day": "date"}


def test_repeated_keys_stop_the_draft(workspace: Workspace) -> None:
    """There is no task for tables that would multiply rows; the message names the keys."""
    with pytest.raises(DataError, match=r"joins\.shops: expected one row for each number; 1 row repeats one: 3"):
        _drafted(workspace, visits(), pd.concat([shops(), shops()[2:3]]), "shop=number")


@pytest.mark.parametrize(
    ("tables", "keys", "message"),
    [
        (["a.csv"], [], "--on: expected one for each --join; received 0 for 1"),
        (["a.csv"], ["latest:a,latest:b"], "--on: expected KEY, KEY=OTHER"),
        (["a.csv"], ["a="], "--on: expected KEY, KEY=OTHER"),
    ],
)
def test_options_without_sense_are_refused(tables: list[str], keys: list[str], message: str) -> None:
    """Each table needs one key."""
    with pytest.raises(TaskError, match=message):
        requests(tables, keys)


def test_command_drafts_a_join(workspace: Workspace) -> None:
    """The options of the command reach the draft."""
    visits().to_csv("visits.csv", index=False)
    shops().to_csv("shops.csv", index=False)
    command = [
        "init",
        "visits",
        "--data",
        "visits.csv",
        "--target",
        "bought",
        "--join",
        "shops.csv",
        "--on",
        "shop=number",
    ]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "shops: every row has a match" in result.output
    assert _joins(workspace)["shops"]["key"] == {"shop": "number"}
