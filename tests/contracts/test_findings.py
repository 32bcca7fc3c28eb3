"""Every finding: silent on clean data, a sentence with both numbers and a next step on data spoiled for it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from customer_table import customers, write_task
from PIL import Image as Pillow
from workspaces import edit_task, fetch_raw, new_workspace

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.preparation import prepare
from tiltyard.validation.check import Checked, check
from tiltyard.validation.findings.base import Finding, Found
from tiltyard.workspace import Workspace

Spoiled = tuple[dict[str, Any], dict[str, Any]]  # columns to replace, keys of the task to change
DICE = np.random.default_rng(1)


def table(spoil: Callable[[pd.DataFrame], Spoiled | pd.DataFrame]) -> Callable[[Workspace], Checked]:
    """Return a way to spoil the table: columns and keys that replace others, or other rows."""

    def run(workspace: Workspace) -> Checked:
        frame = customers()
        spoiled = spoil(frame)
        if isinstance(spoiled, pd.DataFrame):
            return check(workspace, write_task(workspace, spoiled))
        return check(workspace, write_task(workspace, frame.assign(**spoiled[0]), spoiled[1]))

    return run


def _some(frame: pd.DataFrame, name: str, value: Any, count: int = 30) -> dict[str, Any]:
    """Replace a column's values in some rows."""
    column = frame[name].astype(object)
    column.iloc[DICE.choice(len(frame), count, replace=False)] = value
    return {name: column}


def _drifted(frame: pd.DataFrame) -> Spoiled:
    return {"weight": frame["weight"] + np.where(np.arange(len(frame)) > 700, 9, 0)}, {}


def _near(frame: pd.DataFrame) -> pd.DataFrame:
    """Note forty rows again a little later in the file, with the last digit of each measure changed."""
    again = frame.iloc[100:140].assign(height=lambda f: f["height"] + 0.001, weight=lambda f: f["weight"] - 0.001)
    return pd.concat([frame.iloc[:140], again, frame.iloc[140:]])


def _near_test(frame: pd.DataFrame) -> pd.DataFrame:
    """Let the last rows be the first ones, hardly changed."""
    again = frame.iloc[:40].assign(height=lambda f: f["height"] + 0.001, weight=lambda f: f["weight"] - 0.001)
    return pd.concat([frame, again.assign(since=frame["since"].iloc[:40])]).reset_index(drop=True)


def _flipped(frame: pd.DataFrame) -> Spoiled:
    """Let height and weight tell the target, but for twenty rows far from the border."""
    sure = (frame["height"] - 170) / 10 + (frame["weight"] - 70) / 8
    truth = sure > 0
    far = np.flatnonzero(sure.abs() > 1.5)[:20]
    truth.iloc[far] = ~truth.iloc[far]
    columns = {"height": {"type": "number"}, "weight": {"type": "number"}}
    return {"again": np.where(truth, "yes", "no")}, {"columns": columns}


def _texts(workspace: Workspace) -> Checked:
    words = DICE.choice(["win", "money", "now", "lunch", "home", "see", "you", "soon", "call", "me"], (300, 8))
    texts = [" ".join(row) for row in words]
    texts[10:40] = [f"You won {number} Euro!" for number in range(30)]
    texts[50:55] = ["k"] * 5
    frame = pd.DataFrame({"text": texts, "again": np.where(np.arange(300) % 2, "yes", "no")})
    changes = {"columns": {"text": {"type": "text", "length": 6}}, "model": {"family": "bow"}}
    return check(workspace, write_task(workspace, frame, {**changes, "split.kind": "random"}))


def _pictures(workspace: Workspace) -> Checked:
    fetch_raw(workspace, "digits")
    with zipfile.ZipFile(workspace.raw("digits") / "images.zip", "a") as archive:
        archive.writestr("3/broken.png", b"no picture")
        archive.writestr("4/again.png", archive.read("0/0000.png"))
        for size, name in (((9, 8), "5/wide.png"), ((8, 8), "5/blank.png")):
            Pillow.new("L", size).save(content := io.BytesIO(), "PNG")
            archive.writestr(name, content.getvalue())
    return check(workspace, loader.load(workspace, "digits"))


def _shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=0)


# For each finding, data on which it must speak, and about which columns.
SPOILED: dict[str, tuple[Callable[[Workspace], Checked], set[str]]] = {
    "bounds": (table(lambda f: (_some(f, "age", 500), {})), {"age"}),
    "cardinality": (table(lambda f: ({"shop": DICE.integers(0, 400, len(f)).astype(str)}, {})), {"shop"}),
    "columns": (table(lambda f: f.rename(columns={"weight": "wieght"})), {"weight"}),
    "constant": (table(lambda _: ({"height": 170, "vip": ["no"] * 899 + ["yes"]}, {})), {"height", "vip"}),
    "duplicates": (table(lambda f: pd.concat([f.iloc[:300], f.iloc[280:]])), {""}),
    "future_leak": (table(lambda _: ({}, {"split.kind": "random"})), {"since"}),
    "identifier": (table(lambda f: ({"height": DICE.permutation(len(f)) + 10_000}, {})), {"height"}),
    "imbalance": (table(lambda _: ({"again": ["yes"] * 9 + ["no"] * 891}, {})), {"again"}),
    "wrong_types": (
        table(lambda f: (_some(f, "weight", "heavy") | _some(f, "since", "2020-02-31"), {})),
        {"weight", "since"},
    ),
    "leak": (table(lambda f: ({"height": np.where(f["again"] == "yes", 1.5, 1.7)}, {})), {"height"}),
    "missing": (table(lambda f: (_some(f, "income", None, 400) | _some(f, "vip", ""), {})), {"income", "vip"}),
    "near_duplicates": (table(_near), {""}),
    "label_noise": (table(_flipped), {"again"}),
    "outliers": (
        table(lambda f: (_some(f, "income", 99_999_999) | _some(f, "height", 5e6, 1), {})),
        {"income", "height"},
    ),
    "images": (_pictures, {"image", "label"}),
    "rows": (table(lambda f: f.iloc[:90]), {""}),
    "train_test_overlap": (table(_near_test), {""}),
    "skew": (table(_drifted), {"weight"}),
    "target": (table(lambda f: (_some(f, "again", "maybe") | {}, {})), {"again"}),
    "texts": (_texts, {"text"}),
    "time": (table(_shuffled), {"since"}),
    "unseen": (table(lambda f: (_some(f, "country", "es"), {})), {"country"}),
}


def test_every_finding_has_data_on_which_it_must_speak() -> None:
    """A new finding is entered above."""
    assert sorted(SPOILED) == plugins.names("findings")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """What is found in the shop's table, and in what other tasks fetch."""
    workspace = new_workspace(tmp_path_factory.mktemp("clean"))
    tasks = [write_task(workspace, customers())]
    for name in ("diabetes", "digits", "sine"):
        fetch_raw(workspace, name)
        tasks.append(loader.load(workspace, name))
    return [found for task in tasks for found in check(workspace, task).findings]


def test_silent_on_clean_data(clean: list[Found], finding_name: str) -> None:
    """There is nothing to find."""
    assert [found for found in clean if found.code == finding_name] == []


def test_speaks_on_spoiled_data(workspace: Workspace, finding_name: str) -> None:
    """It names the columns, says what was seen and what was expected, and what to do next."""
    spoil, columns = SPOILED[finding_name]
    told = [found for found in spoil(workspace).findings if found.code == finding_name]
    assert {found.column for found in told} == columns
    for found in told:
        assert "expected" in found.text
        assert re.search(r"\d", found.text)
        assert found.hint


def test_is_named(finding_name: str) -> None:
    """The code is the file's name; the title reads as what is looked for."""
    made: Finding = plugins.load("findings", finding_name)()
    assert made.code == finding_name
    assert made.title[0].islower()


def said(workspace: Workspace, code: str, columns: dict[str, Any], task: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Spoil the shop's table; give severity, column and text of what one finding says."""
    checked = check(workspace, write_task(workspace, customers().assign(**columns), task))
    return [(found.severity, found.column, found.text) for found in checked.findings if found.code == code]


def test_a_date_that_follows_another_is_doubted(workspace: Workspace) -> None:
    """One that is missing as long as nothing has happened is worth a warning; one that is always there, a note."""
    since = pd.to_datetime(customers()["since"])
    closed = (since + pd.Timedelta(days=9)).where(np.arange(900) % 3 > 0)
    columns = {name: {"type": "date", "missing": "median"} for name in ("since", "closed", "seen")}
    later = {"closed": closed, "seen": since + pd.Timedelta(days=2)}
    found = said(workspace, "future_leak", later, {"columns": columns})
    assert {("warning", "closed"), ("note", "seen")} <= {(severity, column) for severity, column, _ in found}
    assert any("later than since in 600 of 600 (100.0%) rows, missing in 300" in text for _, _, text in found)


@pytest.mark.parametrize(
    ("columns", "task", "wanted"),
    [
        ({"again": "yes"}, {}, "always yes; expected at least two values"),
        ({"again": [None] * 9 + ["yes", "no", "yes"] * 297}, {}, "9 of 900 (1.0%) rows have no readable target"),
        ({}, {"target": {"column": "age", "bounds": [0, 60]}}, "rows are outside; expected 0 to 60"),
    ],
)
def test_a_target_that_cannot_be_learned_is_critical(
    workspace: Workspace, columns: dict[str, Any], task: dict[str, Any], wanted: str
) -> None:
    """One answer alone, none, or one that cannot be believed."""
    number = {"problem": "regression", "columns": {"height": {"type": "number"}}, "gate.metric": "rmse"}
    ((severity, _, text),) = said(workspace, "target", columns, {**(number if task else {}), **task})
    assert severity == "critical"
    assert wanted in text


def test_an_empty_column_is_critical(workspace: Workspace) -> None:
    """Even where values may be missing: there is no median of nothing."""
    ((severity, column, text),) = said(workspace, "missing", {"income": None}, {})
    assert (severity, column) == ("critical", "income")
    assert text == "all of 900 rows are missing; expected values"


def test_names_beyond_those_that_are_learned_are_told(workspace: Workspace) -> None:
    """A third of the rows in the bucket is worth a note."""
    column = {"columns.shop": {"type": "category", "unseen": "bucket", "top": 8}}
    ((severity, name, text),) = said(workspace, "cardinality", {}, column)
    assert (severity, name) == ("note", "shop")
    assert "rows hold none of the 8 names that are learned; expected at most 20%" in text


def test_a_leap_in_time_is_a_note(workspace: Workspace) -> None:
    """Of rows that come every day, half a year is missing."""
    since = pd.to_datetime(customers()["since"])
    later = since.where(np.arange(900) < 500, since + pd.Timedelta(days=180)).dt.strftime("%Y-%m-%d")
    ((severity, column, text),) = said(workspace, "time", {"since": later}, {})
    assert (severity, column) == ("note", "since")
    assert "after 2020-09-06T00:00:00 no rows for 181 median steps" in text


def test_gaps_repeats_and_steps_back_in_a_series_are_told_apart(workspace: Workspace) -> None:
    """Each with the rows where it happens."""
    fetch_raw(workspace, "sine")
    path = workspace.raw("sine") / "series.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[100], lines[101] = lines[101], lines[100]
    lines.insert(300, lines[300])
    path.write_text("\n".join(lines[:500] + lines[501:]) + "\n", encoding="utf-8")
    edit_task(workspace, "sine", {"rows": [900, 1100]})
    findings = check(workspace, loader.load(workspace, "sine")).findings
    texts = [found.text for found in findings if found.code == "time"]
    assert any("rows go back in time: 100;" in text for text in texts)
    assert any("rows repeat the time before: 300;" in text for text in texts)
    assert any("more than one step after the row before: 99, 101, 499;" in text for text in texts)


def test_advice_is_what_a_task_file_takes(workspace: Workspace) -> None:
    """A single column is not to be removed, a series has no `missing:`, and a sorted file is not asked for twice."""
    one = {"columns": {"height": {"type": "number"}}}
    checked = check(workspace, write_task(workspace, customers().assign(height=170), one))
    (constant,) = (found for found in checked.findings if found.code == "constant")
    assert "the only one under `columns:`" in constant.hint
    fetch_raw(workspace, "sine")
    path = workspace.raw("sine") / "series.csv"
    frame = pd.read_csv(path)
    frame.loc[5, "value"] = None
    frame.to_csv(path, index=False)
    (missing,) = (f for f in check(workspace, loader.load(workspace, "sine")).findings if f.code == "missing")
    assert missing.hint == "fill the gaps in the data"


def test_rows_that_are_sorted_by_the_split_need_not_be_sorted(workspace: Workspace) -> None:
    """With split.by their order in the file does not matter; without, the advice is to write it."""
    by_time = {"split": {"kind": "chronological"}}
    (told,) = (
        f for f in check(workspace, write_task(workspace, _shuffled(customers()), by_time)).findings if f.code == "time"
    )
    assert told.severity == "critical"
    assert "split.by: since" in told.hint
    edit_task(workspace, "shop", {"split.by": "since"})
    checked = check(workspace, loader.load(workspace, "shop"))
    assert [found for found in checked.findings if found.code == "time"] == []
    prepare.prepare(workspace, loader.load(workspace, "shop"))
