"""Contract of all findings: none on clean data; on faulty data a sentence with numbers and a next step."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from captioned_pictures import faulty_captions
from joined_tables import fetch_joined, shops
from PIL import Image as Pillow
from workspaces import ROOT, edit_task, fetch_raw, new_workspace

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.contracts import findings as contract
from tiltyard.contracts.customers import customers, write_task
from tiltyard.preparation import prepare
from tiltyard.validation.check import Checked, check
from tiltyard.validation.findings.base import Found
from tiltyard.workspace import Workspace

Fault = tuple[dict[str, Any], dict[str, Any]]  # columns to replace, keys of the task to change
DICE = np.random.default_rng(1)


def table(insert_fault: Callable[[pd.DataFrame], Fault | pd.DataFrame]) -> Callable[[Workspace], Checked]:
    """Return a function that checks the customer table with a fault: replaced columns and keys, or other rows."""

    def run(workspace: Workspace) -> Checked:
        frame = customers()
        faulty = insert_fault(frame)
        if isinstance(faulty, pd.DataFrame):
            return check(workspace, write_task(workspace, faulty))
        return check(workspace, write_task(workspace, frame.assign(**faulty[0]), faulty[1]))

    return run


def _replace_some(frame: pd.DataFrame, name: str, value: Any, count: int = 30) -> dict[str, Any]:
    """Replace a column's values in some rows."""
    column = frame[name].astype(object)
    column.iloc[DICE.choice(len(frame), count, replace=False)] = value
    return {name: column}


def _drifted(frame: pd.DataFrame) -> Fault:
    return {"weight": frame["weight"] + np.where(np.arange(len(frame)) > 700, 9, 0)}, {}


def _near_duplicates(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat forty rows later in the file, with small changes of the measured values."""
    again = frame.iloc[100:140].assign(height=lambda f: f["height"] + 0.001, weight=lambda f: f["weight"] - 0.001)
    return pd.concat([frame.iloc[:140], again, frame.iloc[140:]])


def _near_duplicates_in_test(frame: pd.DataFrame) -> pd.DataFrame:
    """Append the first rows at the end, with small changes."""
    again = frame.iloc[:40].assign(height=lambda f: f["height"] + 0.001, weight=lambda f: f["weight"] - 0.001)
    return pd.concat([frame, again.assign(since=frame["since"].iloc[:40])]).reset_index(drop=True)


def _contradictory(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat ten rows with the other label."""
    again = frame.iloc[:10].assign(again=frame["again"].iloc[:10].map({"yes": "no", "no": "yes"}))
    return pd.concat([frame, again]).reset_index(drop=True)


def _flipped_labels(frame: pd.DataFrame) -> Fault:
    """Let height and weight determine the target, except for twenty rows far from the boundary."""
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


def _images(workspace: Workspace) -> Checked:
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


# For each finding, faulty data and the columns that it must report.
FAULTY: dict[str, tuple[Callable[[Workspace], Checked], set[str]]] = {
    "bounds": (table(lambda f: (_replace_some(f, "age", 500), {})), {"age"}),
    "captions": (faulty_captions, {"caption"}),
    "cardinality": (table(lambda f: ({"shop": DICE.integers(0, 400, len(f)).astype(str)}, {})), {"shop"}),
    "columns": (table(lambda f: f.rename(columns={"weight": "wieght"})), {"weight"}),
    "constant": (table(lambda _: ({"height": 170, "vip": ["no"] * 899 + ["yes"]}, {})), {"height", "vip"}),
    "contradictions": (table(_contradictory), {"again"}),
    "duplicates": (table(lambda f: pd.concat([f.iloc[:300], f.iloc[280:]])), {""}),
    "future_leak": (table(lambda _: ({}, {"split.kind": "random"})), {"since"}),
    "identifier": (table(lambda f: ({"height": DICE.permutation(len(f)) + 10_000}, {})), {"height"}),
    "imbalance": (table(lambda _: ({"again": ["yes"] * 9 + ["no"] * 891}, {})), {"again"}),
    "wrong_types": (
        table(lambda f: (_replace_some(f, "weight", "heavy") | _replace_some(f, "since", "2020-02-31"), {})),
        {"weight", "since"},
    ),
    "joins": (lambda space: check(space, fetch_joined(space, joined=pd.concat([shops(), shops()[:2]]))), {"shops"}),
    "leak": (table(lambda f: ({"height": np.where(f["again"] == "yes", 1.5, 1.7)}, {})), {"height"}),
    "missing": (
        table(lambda f: (_replace_some(f, "income", None, 400) | _replace_some(f, "vip", ""), {})),
        {"income", "vip"},
    ),
    "near_duplicates": (table(_near_duplicates), {""}),
    "label_noise": (table(_flipped_labels), {"again"}),
    "outliers": (
        table(lambda f: (_replace_some(f, "income", 99_999_999) | _replace_some(f, "height", 5e6, 1), {})),
        {"income", "height"},
    ),
    "images": (_images, {"image", "label"}),
    "rows": (table(lambda f: f.iloc[:90]), {""}),
    "train_test_overlap": (table(_near_duplicates_in_test), {""}),
    "skew": (table(_drifted), {"weight"}),
    "target": (table(lambda f: (_replace_some(f, "again", "maybe") | {}, {})), {"again"}),
    "texts": (_texts, {"text"}),
    "time": (table(_shuffled), {"since"}),
    "unseen": (table(lambda f: (_replace_some(f, "country", "es"), {})), {"country"}),
}


def test_every_finding_has_faulty_data() -> None:
    """A new finding needs an entry above."""
    assert sorted(FAULTY) == plugins.names("findings")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """The findings for the customer table, and for the data of other tasks."""
    workspace = new_workspace(tmp_path_factory.mktemp("clean"))
    tasks = [write_task(workspace, customers())]
    for name in ("diabetes", "digits", "sine"):
        fetch_raw(workspace, name)
        tasks.append(loader.load(workspace, name))
    return [found for task in tasks for found in check(workspace, task).findings]


def test_nothing_is_reported_for_clean_data(clean: list[Found], finding_name: str) -> None:
    """Clean data have no findings."""
    contract.reports_nothing(finding_name, clean)


def test_faults_are_reported(workspace: Workspace, finding_name: str) -> None:
    """The finding names the columns, the actual and the expected values, and a next step."""
    insert_fault, columns = FAULTY[finding_name]
    contract.reports(finding_name, insert_fault(workspace).findings, columns)


def test_finding_has_code_and_title(finding_name: str) -> None:
    """The code equals the file name, and the title is a phrase."""
    contract.has_code_and_title(finding_name)


def findings_of(
    workspace: Workspace, code: str, columns: dict[str, Any], task: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Check a changed customer table; return severity, column and text of one kind of finding."""
    checked = check(workspace, write_task(workspace, customers().assign(**columns), task))
    return [(found.severity, found.column, found.text) for found in checked.findings if found.code == code]


def test_later_dates_are_reported_as_possible_leaks(workspace: Workspace) -> None:
    """A date that is missing until something happened is a warning; one that is always present is a note."""
    since = pd.to_datetime(customers()["since"])
    closed = (since + pd.Timedelta(days=9)).where(np.arange(900) % 3 > 0)
    columns = {name: {"type": "date", "missing": "median"} for name in ("since", "closed", "seen")}
    later = {"closed": closed, "seen": since + pd.Timedelta(days=2)}
    found = findings_of(workspace, "future_leak", later, {"columns": columns})
    assert {("warning", "closed"), ("note", "seen")} <= {(severity, column) for severity, column, _ in found}
    assert any("later than since in 600 of 600 (100.0%) rows, missing in 300" in text for _, _, text in found)


@pytest.mark.parametrize(
    ("columns", "task", "expected"),
    [
        ({"again": "yes"}, {}, "always yes; expected at least two values"),
        ({"again": [None] * 60 + ["yes", "no", "yes"] * 280}, {}, "60 of 900 (6.7%) rows have no readable target"),
        ({}, {"target": {"column": "age", "bounds": [0, 60]}}, "rows are outside; expected 0 to 60"),
    ],
)
def test_unusable_target_is_critical(
    workspace: Workspace, columns: dict[str, Any], task: dict[str, Any], expected: str
) -> None:
    """Constant, missing and out-of-bounds targets are critical."""
    number = {"problem": "regression", "columns": {"height": {"type": "number"}}, "gate.metric": "rmse"}
    ((severity, _, text),) = findings_of(workspace, "target", columns, {**(number if task else {}), **task})
    assert severity == "critical"
    assert expected in text


def test_empty_column_is_critical(workspace: Workspace) -> None:
    """An empty column is critical even if missing values are allowed, since it has no median."""
    ((severity, column, text),) = findings_of(workspace, "missing", {"income": None}, {})
    assert (severity, column) == ("critical", "income")
    assert text == "all of 900 rows are missing; expected values"


def test_rare_categories_in_the_bucket_are_reported(workspace: Workspace) -> None:
    """Too many rows outside the learned categories are a note."""
    column = {"columns.shop": {"type": "category", "unseen": "bucket", "top": 8}}
    ((severity, name, text),) = findings_of(workspace, "cardinality", {}, column)
    assert (severity, name) == ("note", "shop")
    assert "rows hold none of the 8 names that are learned; expected at most 20%" in text


def test_gap_in_time_is_a_note(workspace: Workspace) -> None:
    """Half a year is missing among daily rows."""
    since = pd.to_datetime(customers()["since"])
    later = since.where(np.arange(900) < 500, since + pd.Timedelta(days=180)).dt.strftime("%Y-%m-%d")
    ((severity, column, text),) = findings_of(workspace, "time", {"since": later}, {})
    assert (severity, column) == ("note", "since")
    assert "after 2020-09-06T00:00:00 no rows for 181 median steps" in text


def test_gaps_repeats_and_reversals_in_a_series_are_distinguished(workspace: Workspace) -> None:
    """Each is reported with its rows."""
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


def test_hints_fit_the_task(workspace: Workspace) -> None:
    """The hint does not propose to remove the only column, or `missing:` for a series."""
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


def test_row_order_does_not_matter_with_split_by(workspace: Workspace) -> None:
    """Without split.by, unsorted rows are critical, and the hint is to set it."""
    by_time = {"split": {"kind": "chronological"}}
    (finding,) = (
        f for f in check(workspace, write_task(workspace, _shuffled(customers()), by_time)).findings if f.code == "time"
    )
    assert finding.severity == "critical"
    assert "split.by: since" in finding.hint
    edit_task(workspace, "shop", {"split.by": "since"})
    checked = check(workspace, loader.load(workspace, "shop"))
    assert [found for found in checked.findings if found.code == "time"] == []
    prepare.prepare(workspace, loader.load(workspace, "shop"))


def test_skewed_numbers_are_not_outliers(workspace: Workspace) -> None:
    """A lognormal column has values far from its quartiles; only one that is far by its logarithm, too, is reported."""
    skewed = np.random.default_rng(0).lognormal(3, 1.2, 900).round(2)
    columns = {"columns": {"spent": {"type": "number"}, "height": {"type": "number"}}}
    assert findings_of(workspace, "outliers", {"spent": skewed}, columns) == []
    skewed[7] = 9e6
    ((_, column, text),) = findings_of(workspace, "outliers", {"spent": skewed}, columns)
    assert (column, text.partition(";")[0]) == ("spent", "9e+06 in row 7")


def test_many_nearly_constant_columns_are_one_finding(workspace: Workspace) -> None:
    """Flags of rare values would fill a page."""
    flags = {f"flag_{place}": np.arange(900) < place + 1 for place in range(5)}
    settings = {"columns": {name: {"type": "boolean"} for name in flags} | {"height": {"type": "number"}}}
    ((severity, column, text),) = findings_of(workspace, "constant", flags, settings)
    assert (severity, column) == ("note", "")
    assert text == "5 columns have one value in 96% of the rows or more: flag_0, flag_1, flag_2, flag_3, flag_4"


def test_few_doubted_labels_are_normal(workspace: Workspace) -> None:
    """Four of 900 are less than half a percent: where classes overlap, there are as many."""
    frame = customers()
    columns, task = _flipped_labels(frame)
    sure = (frame["height"] - 170) / 10 + (frame["weight"] - 70) / 8
    truth = np.where(sure > 0, "yes", "no")
    few = np.flatnonzero(columns["again"] != truth)[:4]
    columns["again"] = truth.copy()
    columns["again"][few] = np.where(truth[few] == "yes", "no", "yes")
    assert findings_of(workspace, "label_noise", columns, task) == []


def test_trend_of_a_chronological_split_is_a_note(workspace: Workspace) -> None:
    """The latest rows differ where values grow; at random they should not."""
    weight = customers()["weight"] + np.arange(900) / 30
    found = findings_of(workspace, "skew", {"weight": weight}, {})
    assert ("note", "weight") in [one[:2] for one in found]


def test_names_that_tell_the_target_are_not_too_many(workspace: Workspace) -> None:
    """Names with two rows each are reported only if the target does not differ between them."""
    generator = np.random.default_rng(5)
    place = generator.integers(0, 300, 900)
    truth = np.where(generator.normal(size=300)[place] + 0.3 * generator.normal(size=900) > 0, "yes", "no")
    shop = {"shop": place.astype(str)}
    assert findings_of(workspace, "cardinality", {**shop, "again": truth}, {}) == []
    ((_, column, _),) = findings_of(workspace, "cardinality", shop, {})
    assert column == "shop"


def test_exact_copies_of_texts_are_reported_once(workspace: Workspace) -> None:
    """By `duplicates`; texts that differ in digits or punctuation only are another finding."""
    words = np.random.default_rng(0).choice(["win", "money", "now", "lunch", "home", "see", "you", "soon"], (300, 8))
    texts = [" ".join(row) for row in words]
    frame = pd.DataFrame({"text": texts + texts[:9], "again": ["yes", "no"] * 154 + ["yes"]})
    changes = {"columns": {"text": {"type": "text"}}, "model": {"family": "bow"}, "split.kind": "random"}
    assert "texts" not in {found.code for found in check(workspace, write_task(workspace, frame, changes)).findings}


def test_a_small_class_is_reported_once(workspace: Workspace) -> None:
    """Its ratio to the largest of several classes says nothing new."""
    labels = np.array(["yes", "no", "rare"])[np.r_[np.zeros(450, int), np.ones(440, int), np.full(10, 2)]]
    task = {"target.classes": ["yes", "no", "rare"]}
    found = findings_of(workspace, "imbalance", {"again": labels}, task)
    assert len(found) == 1
    assert "1 of 3 classes are small: rare with 10 rows" in found[0][2]


def test_texts_about_digits_are_not_copies(workspace: Workspace) -> None:
    """Of dates or times every text equals another one except for digits."""
    frame = pd.DataFrame({"text": [f"at {place} o'clock" for place in range(300)], "again": ["yes", "no"] * 150})
    changes = {"columns": {"text": {"type": "text"}}, "model": {"family": "bow"}, "split.kind": "random"}
    assert "texts" not in {found.code for found in check(workspace, write_task(workspace, frame, changes)).findings}


def test_prose_is_checked_by_line(workspace: Workspace) -> None:
    """A text to continue is no table, though some lines have commas; so is a file of new text."""
    content = (ROOT / "tasks" / "text_generation.yaml").read_text(encoding="utf-8")
    task = loader.parse(content, "text_generation", "tasks/text_generation.yaml")
    workspace.raw(task.name).mkdir(parents=True, exist_ok=True)
    text = "Now, my lord,\nwhat say you?\nNothing; nothing, I.\n" * 100
    for path in (workspace.raw(task.name) / "prose.txt", workspace.root / "new.txt"):
        path.write_text(text, encoding="utf-8")
    assert check(workspace, task).rows == 301
    assert check(workspace, task, workspace.root / "new.txt").rows == 301
