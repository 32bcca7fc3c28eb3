"""Consistency of init, check, prepare and the task file."""

from __future__ import annotations

import numpy as np
import pandas as pd
from workspaces import fetch_raw

from tiltyard.config import loader
from tiltyard.config.draft import draft
from tiltyard.config.draft.request import DraftRequest
from tiltyard.preparation import prepare
from tiltyard.validation.check import check
from tiltyard.workspace import Workspace


def test_codes_stay_text_and_date_range_is_reported(workspace: Workspace) -> None:
    """Codes stay text, and the range of dates is reported."""
    dice = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "code": dice.choice(["007", "008", "12"], 100),
            "long": dice.choice(["12345678901234567890", "12345678901234567891"], 100),
            "since": ["05.03.2024", *["20.02.2024"] * 98, "01.02.2024"],
            "x": dice.normal(0, 1, 100),
            "y": dice.normal(0, 1, 100),
        }
    )
    for name in ("codes.csv", "codes.jsonl"):
        path = workspace.root / name
        _ = (
            frame.to_csv(path, index=False)
            if path.suffix == ".csv"
            else frame.to_json(path, orient="records", lines=True)
        )
        drafted = draft.draft_task(workspace, "codes", DraftRequest(name, "y"), force=True)
        columns = loader.load(workspace, "codes").model_dump(mode="json")["columns"]
        assert columns["code"] == {"type": "category", "values": ["007", "008", "12"], "unseen": "refuse"}
        assert columns["long"]["values"] == ["12345678901234567890", "12345678901234567891"]
        assert {traits.name: traits.examples for traits in drafted.traits}["since"] == "01.02.2024 to 05.03.2024"
        fetch_raw(workspace, "codes")
        rows = prepare.prepare(workspace, loader.load(workspace, "codes"))
        assert sum(rows["rows"].values()) == 100


def test_only_text_column_is_used_and_may_be_empty(workspace: Workspace) -> None:
    """The only text column is used, and rows without text get a prediction."""
    words = np.random.default_rng(0).choice(["win", "money", "now", "lunch", "home", "see"], (200, 6))
    frame = pd.DataFrame({"spam": words[:, 0] == "win", "text": [" ".join(row) for row in words]})
    frame.loc[7, "text"] = None
    frame.to_csv(workspace.root / "sms.csv", index=False)
    drafted = draft.draft_task(workspace, "spam", DraftRequest("sms.csv", "spam"))
    assert [traits.reason for traits in drafted.traits] == [""]
    fetch_raw(workspace, "spam")
    task = loader.load(workspace, "spam")
    assert not check(workspace, task).critical
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 200


def test_init_and_check_agree(workspace: Workspace) -> None:
    """Check does not advise to remove columns that init keeps."""
    dice = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "shuffled": dice.permutation(400) + 5_000,
            "city": [f"city {number}" if number < 39 else None for number in dice.integers(0, 60, 400)],
            "since": pd.date_range("2020-01-01", periods=400).strftime("%Y-%m-%d"),
            "x": dice.normal(0, 1, 400).round(3),
            "y": np.arange(400) + dice.normal(0, 1, 400),
        }
    )
    frame.to_csv(workspace.root / "both.csv", index=False)
    drafted = draft.draft_task(workspace, "both", DraftRequest("both.csv", "y", "regression"))
    assert "shuffled" in {traits.name for traits in drafted.traits if traits.reason.startswith("an id")}
    fetch_raw(workspace, "both")
    findings = check(workspace, loader.load(workspace, "both")).findings
    assert [finding for finding in findings if "remove" in finding.hint and finding.code != "missing"] == []
    assert [finding for finding in findings if finding.severity == "critical"] == []
