"""The command `check`: output, new data without a target, changes since the last version, and real files."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from workspaces import edit_task, fetch_raw

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.config.draft import draft
from tiltyard.config.draft.leakage import leakage_score
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.contracts.customers import customers, write_task
from tiltyard.errors import DataError, TaskError, TiltyardError
from tiltyard.preparation import array_file, prepare
from tiltyard.validation.check import Checked, check
from tiltyard.validation.findings import _dataset, _sample
from tiltyard.workspace import Workspace

MIRROR = os.environ.get("TILTYARD_MIRROR", "")
real = pytest.mark.skipif(not Path(MIRROR, "churn.csv").is_file(), reason="needs the real data: set TILTYARD_MIRROR")


def run_check(workspace: Workspace, name: str = "shop", against: Path | None = None) -> Checked:
    """Check as the command does."""
    return check(workspace, loader.load(workspace, name), against)


def finding_keys(checked: Checked) -> list[tuple[str, str, str]]:
    """Return severity, code and column of each finding."""
    return [(found.severity, found.code, found.column) for found in checked.findings]


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    """A workspace in which the clean table of the shop was fetched."""
    write_task(workspace, customers())
    return workspace


@pytest.fixture
def new_file(shop: Workspace) -> Path:
    """A file of new customers, without the target."""
    path = shop.root / "new.csv"
    customers(seed=1).drop(columns="again").to_csv(path, index=False)
    return path


@pytest.mark.usefixtures("shop")
def test_clean_data_have_exit_status_zero() -> None:
    """Clean data have no findings, and the exit code is 0."""
    result = CliRunner().invoke(cli, ["check", "shop"])
    assert result.exit_code == 0
    assert result.output == "shop: 900 rows: no findings\n"


def test_critical_finding_has_exit_status_one(shop: Workspace) -> None:
    """The most severe finding comes first, with code, column and hint."""
    frame = customers()
    frame["height"] = np.where(frame["again"] == "yes", 1.5, 1.7)
    write_task(shop, frame.assign(vip=["no"] * 899 + ["yes"]))
    result = CliRunner().invoke(cli, ["check", "shop"])
    assert result.exit_code == 1
    head, first, following, *_ = result.output.splitlines()
    assert head == "shop: 900 rows: 1 critical, 1 note"
    assert first.startswith("  critical leak height: predicts again alone with a score of 100.0%; expected below 98.5%")
    assert following.strip().startswith("next: if it is not known before again")
    found = json.loads(CliRunner().invoke(cli, ["check", "shop", "--json"]).output)["shop"]["findings"]
    assert [one["severity"] for one in found] == ["critical", "note"]
    assert set(found[0]) == {"code", "severity", "column", "text", "hint"}


def test_missing_raw_data_hint_names_fetch(workspace: Workspace) -> None:
    """Without raw data, the error says to fetch."""
    with pytest.raises(DataError, match=r"no raw data: expected iris/table\.csv") as caught:
        run_check(workspace, "iris")
    assert caught.value.hint == "fetch it: tiltyard fetch iris"


def test_against_requires_one_task(shop: Workspace) -> None:
    """--against requires a single task."""
    assert shop
    result = CliRunner().invoke(cli, ["check", "--against", "new.csv"])
    assert result.exit_code == 2
    assert "expected one task with --against" in result.output


def test_new_data_need_no_target(shop: Workspace, new_file: Path) -> None:
    """Similar new data have no findings, with or without the target."""
    assert finding_keys(run_check(shop, against=new_file)) == []
    customers(seed=1).to_csv(new_file, index=False)
    assert finding_keys(run_check(shop, against=new_file)) == []


def test_new_data_must_fit_the_model(shop: Workspace, new_file: Path) -> None:
    """Missing features, wrong types, values out of bounds, unseen names and drift are found."""
    frame = customers(seed=1).drop(columns=["again", "height"])
    frame["weight"] = frame["weight"].astype(object)
    frame.loc[7, "weight"] = "heavy"
    frame.loc[8, "age"] = 500
    frame.loc[9, "country"] = "es"
    frame.loc[10:20, "shop"] = "shop99"
    frame.loc[21, "vip"] = None
    frame["income"] *= 2
    frame.to_csv(new_file, index=False)
    checked = run_check(shop, against=new_file)
    assert set(finding_keys(checked)) == {
        ("critical", "columns", "height"),
        ("critical", "wrong_types", "weight"),
        ("critical", "bounds", "age"),
        ("critical", "unseen", "country"),
        ("critical", "missing", "vip"),
        ("warning", "unseen", "shop"),
        ("warning", "skew", "income"),
    }
    texts = {(found.code, found.column): found.text for found in checked.findings}
    assert "row 7: expected a number; received 'heavy'" in texts["wrong_types", "weight"]
    assert "shop99" in texts["unseen", "shop"]
    assert texts["skew", "income"].startswith("the new rows differ from the training rows: PSI ")


def test_file_with_other_columns_is_one_finding(shop: Workspace, new_file: Path) -> None:
    """Eight missing columns are one finding."""
    new_file.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    (found,) = run_check(shop, against=new_file).findings
    assert found.text.startswith("8 of 8 columns are missing: age, income, height, weight, vip and 3 more; expected")


def test_later_dates_are_at_most_a_note(shop: Workspace, new_file: Path) -> None:
    """Later dates in new data are a note, or nothing if the split is by time."""
    frame = customers(seed=1)
    frame["since"] = pd.date_range("2024-01-01", periods=len(frame)).strftime("%Y-%m-%d")
    frame.to_csv(new_file, index=False)
    assert finding_keys(run_check(shop, against=new_file)) == []
    edit_task(shop, "shop", {"split.kind": "random"})
    assert finding_keys(run_check(shop, against=new_file)) == [("note", "skew", "since")]


def test_skew_thresholds_come_from_the_task(shop: Workspace, new_file: Path) -> None:
    """The thresholds for skew come from the task."""
    frame = customers(seed=1)
    frame["weight"] += 6
    frame.to_csv(new_file, index=False)
    assert finding_keys(run_check(shop, against=new_file)) == [("warning", "skew", "weight")]
    edit_task(shop, "shop", {"check": {"psi": 5, "ks": 0.9}})
    assert finding_keys(run_check(shop, against=new_file)) == []


@pytest.mark.parametrize(("key", "value"), [("pis", 0.2), ("psi", 0), ("ks", 1), ("confidence", 1), ("rows", "half")])
def test_invalid_threshold_is_refused(shop: Workspace, key: str, value: object) -> None:
    """Invalid thresholds are refused."""
    edit_task(shop, "shop", {f"check.{key}": value})
    with pytest.raises(TaskError, match=rf"check.*{key}"):
        loader.load(shop, "shop")


def test_missing_file_of_new_data_is_reported(shop: Workspace) -> None:
    """The error names the missing file and the command."""
    with pytest.raises(DataError, match=r"no file .*nowhere\.csv") as caught:
        run_check(shop, against=Path("nowhere.csv"))
    assert "tiltyard check shop --against" in caught.value.hint


def test_row_count_is_compared_with_the_last_check(shop: Workspace) -> None:
    """Half of the rows is critical, three times as many a warning, and the same data no finding."""
    assert finding_keys(run_check(shop)) == []
    write_task(shop, customers(300))
    for _ in range(2):
        assert ("critical", "rows", "") in finding_keys(run_check(shop))
    write_task(shop, customers(1000))
    assert ("warning", "rows", "") in finding_keys(run_check(shop))
    edit_task(shop, "shop", {"check": {"rows": 5}})
    assert "rows" not in {code for _, code, _ in finding_keys(run_check(shop))}
    text = [row["rows"] for row in files.read_json(shop.state("shop", "check") / "rows.json")]
    assert text == [900, 300, 1000]


def test_row_count_is_compared_with_prepared_rows_before_any_check(shop: Workspace) -> None:
    """Without an earlier check, the number of prepared rows is used."""
    prepare.prepare(shop, loader.load(shop, "shop"))
    write_task(shop, customers(300))
    (text,) = (found.text for found in run_check(shop).findings if found.code == "rows")
    assert text == "300 rows, 900 last time: -67%; expected at most 50% either way"


def test_rows_of_a_new_file_are_not_recorded(shop: Workspace, new_file: Path) -> None:
    """A file given by --against is not recorded as a version."""
    run_check(shop, against=new_file)
    assert not (shop.state("shop", "check") / "rows.json").exists()


def test_current_data_are_compared_with_the_training_rows(shop: Workspace) -> None:
    """Drift since `prepare` is found by its encoder, and the same data have no findings."""
    edit_task(shop, "shop", {"split.kind": "stratified"})
    task = loader.load(shop, "shop")
    prepare.prepare(shop, task)
    assert "skew" not in {found.code for found in check(shop, task).findings}
    frame = customers(seed=1)
    frame["age"] = np.minimum(frame["age"] + 20, 120)
    frame["country"] = np.where(np.arange(len(frame)) % 3, frame["country"], "at")
    frame["again"] = np.where(np.arange(len(frame)) % 2, frame["again"], "yes")
    frame.to_csv(shop.raw("shop") / "table.csv", index=False)
    texts_by_column = {found.column: found.text for found in check(shop, task).findings if found.code == "skew"}
    assert set(texts_by_column) == {"age", "country", "again"}
    assert all(
        "today's training rows differ from the rows last trained on: PSI" in text for text in texts_by_column.values()
    )
    edit_task(
        shop, "shop", {"columns.age": None, "serve.example.age": None}
    )  # rows prepared with other columns cannot be compared
    assert "skew" not in {found.code for found in run_check(shop).findings}


def test_many_training_rows_are_sampled_in_blocks(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are read from the first row to the last, up to the limit."""
    monkeypatch.setattr(array_file, "MAX_SAMPLED_ROWS", 300)
    monkeypatch.setattr(array_file, "BLOCK_ROWS", 100)
    assert array_file.sample_blocks(300) == [slice(300)]
    assert array_file.sample_blocks(1100) == [slice(0, 100), slice(500, 600), slice(1000, 1100)]
    task = loader.load(shop, "shop")
    prepare.prepare(shop, task)
    frame = customers(seed=1)
    frame.assign(age=np.minimum(frame["age"] + 20, 120)).to_csv(shop.raw("shop") / "table.csv", index=False)
    assert ("warning", "skew", "age") in finding_keys(run_check(shop))


def test_new_images_and_series_are_checked(workspace: Workspace) -> None:
    """An image of another size and a gap in a series are found in new files."""
    for name in ("digits", "sine"):
        fetch_raw(workspace, name)
    small = workspace.root / "new.zip"
    with zipfile.ZipFile(workspace.raw("digits") / "images.zip") as old, zipfile.ZipFile(small, "w") as archive:
        archive.writestr("0/a.png", old.read(old.namelist()[5]))
        archive.writestr("0/b.png", b"no picture")
    assert finding_keys(run_check(workspace, "digits", small)) == [("critical", "images", "image")]
    series = workspace.root / "new.csv"
    lines = (workspace.raw("sine") / "series.csv").read_text(encoding="utf-8").splitlines()
    series.write_text("\n".join(lines[:50] + lines[53:]), encoding="utf-8")
    assert finding_keys(run_check(workspace, "sine", series)) == [("critical", "time", "step")]


def test_large_tables_are_sampled(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample is reported as such, keeps row numbers; duplicates, missing and refused cells are found in all rows."""
    monkeypatch.setattr(_sample, "MAX_SAMPLED_ROWS", 200)
    monkeypatch.setattr(_sample, "PART_ROWS", 64)
    frame = customers()
    write_task(shop, pd.concat([frame, frame.iloc[:100]]).assign(age=[500] + [50] * 998 + [501]))
    result = CliRunner().invoke(cli, ["check", "shop"])
    assert result.output.startswith("shop: 1,000 rows, 200 of them sampled: ")
    assert "age: 2 of 1,000 rows are refused; row 0: expected 0 to 120; received 500" in result.output
    assert "of 1,000 (9.8%) rows repeat an earlier one" in result.output
    dataset = _dataset.of_task(loader.load(shop, "shop"), shop.raw("shop"))
    whole = pd.read_csv(shop.raw("shop") / "table.csv")
    assert dataset.frame["height"].tolist() == whole["height"].iloc[dataset.frame.index].tolist()


def test_target_with_a_threshold_is_checked_as_classes(shop: Workspace) -> None:
    """Numbers with a threshold are checked as classes."""
    frame = customers().drop(columns="again")
    frame["spent"] = np.where(np.arange(900) < 15, 200.0, 5.0) + frame["age"]
    changes = {"target": {"column": "spent", "classes": ["little", "much"], "threshold": 150}}
    write_task(shop, frame, changes)
    assert ("warning", "imbalance", "spent") in finding_keys(run_check(shop))


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False), st.text(max_size=12),
    st.dates().map(str), st.sampled_from(["a", "b", "yes", "no", "1", "2", "", "-999"]),
)  # fmt: skip


@pytest.mark.parametrize("rare", range(8))
def test_no_leak_is_reported_for_a_label_missing_from_one_half(rare: int) -> None:
    """If all held-out rows have one label, no leak is reported."""
    truth = ["often"] * 60
    truth[rare] = "rare"
    assert leakage_score([float(place == rare) for place in range(60)], truth, labels=True) == 0


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_table_is_checked_or_refused(workspace: Workspace, data: st.DataObject) -> None:
    """For any file, init and check raise only errors of this project."""
    names = data.draw(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True))
    kinds = {
        name: data.draw(st.sampled_from([CELLS, st.integers(0, 3), st.floats(-9, 9), st.text("ab", max_size=2)]))
        for name in names
    }
    rows = st.lists(st.fixed_dictionaries(kinds), max_size=40)
    path, other = workspace.root / "any.jsonl", workspace.root / "other.jsonl"
    repeated = data.draw(st.integers(1, 4))
    path.write_text("\n".join(map(json.dumps, data.draw(rows) * repeated)), encoding="utf-8")
    other.write_text(
        "\n".join(map(json.dumps, data.draw(st.lists(st.dictionaries(st.sampled_from(names), CELLS), max_size=30)))),
        encoding="utf-8",
    )
    try:
        draft.draft_task(workspace, "any", DraftRequest(path.name, names[0]), force=True)
    except TiltyardError:
        return
    fetch_raw(workspace, "any")
    edit_task(workspace, "any", {"split.kind": data.draw(st.sampled_from(["random", "chronological"]))})
    for against in (None, other):
        try:
            checked = run_check(workspace, "any", against)
        except TiltyardError:
            continue
        assert json.dumps(checked.to_json(), allow_nan=False)


@real
def test_leak_of_the_forest_fires_data_is_found(workspace: Workspace) -> None:
    """`area` is critical if it is kept as a feature."""
    draft.draft_task(workspace, "fires", DraftRequest("forest_fires.csv", "size_category"))
    fetch_raw(workspace, "fires")
    assert not run_check(workspace, "fires").critical
    edit_task(workspace, "fires", {"columns.area": {"type": "number"}, "serve.example.area": 0})
    assert [one for one in finding_keys(run_check(workspace, "fires")) if one[0] == "critical"] == [
        ("critical", "leak", "area")
    ]


@real
@pytest.mark.catalogue
@pytest.mark.parametrize(
    ("data", "target", "expected"),
    [
        ("churn.csv", "Exited", set()),
        ("house_sales.csv.gz", "SalePrice", {("warning", "future_leak", "ym")}),
        ("california_housing.csv.gz", "median_house_value", set()),
        ("wine_quality_red.csv", "quality", {("warning", "duplicates", ""), ("warning", "imbalance", "quality")}),
        ("sms_spam.tsv", "isspam", {("warning", "texts", "text"), ("warning", "duplicates", "")}),
        ("prosper_loans.csv.gz", "LoanStatus", set()),
    ],
)
def test_real_data_are_checked(
    workspace: Workspace, data: str, target: str, expected: set[tuple[str, str, str]]
) -> None:
    """Drafts of real data have no critical findings, and known problems are found."""
    draft.draft_task(workspace, "real", DraftRequest(data, target))
    fetch_raw(workspace, "real")
    checked = run_check(workspace, "real")
    assert not checked.critical
    assert expected <= set(finding_keys(checked))


def test_columns_do_not_multiply_the_work(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What depends on all columns is computed as often for many columns as for few: 2,000 took minutes."""
    calls: list[int] = []
    modality = Task.modality.fget  # type: ignore[attr-defined]

    def counted(task: Task) -> str:
        calls.append(1)
        return str(modality(task))

    monkeypatch.setattr(Task, "modality", property(counted))
    counts = []
    for columns in (5, 40):
        noise = np.random.default_rng(columns).normal(size=(120, columns)).round(3)
        frame = pd.DataFrame(noise, columns=[f"gene_{place}" for place in range(columns)])
        frame.assign(y=np.where(noise[:, 0] > 0, "a", "b")).to_csv(workspace.root / "wide.csv", index=False)
        draft.draft_task(workspace, f"wide_{columns}", DraftRequest("wide.csv", "y"))
        fetch_raw(workspace, f"wide_{columns}")
        calls.clear()
        run_check(workspace, f"wide_{columns}")
        counts.append(len(calls))
    assert counts[0] == counts[1]


def test_images_beside_other_columns_are_different_rows(workspace: Workspace) -> None:
    """Rows that differ only in their image can be split, as `prepare` does."""
    with zipfile.ZipFile(workspace.root / "photos.zip", "w") as file:
        lines = ["file,camera,light"]
        for place in range(60):
            content = io.BytesIO()
            pixels = np.random.default_rng(place).integers(0, 256, (6, 6, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(content, "PNG")
            file.writestr(f"{place}.png", content.getvalue())
            lines.append(f"{place}.png,{'ab'[place % 2]},{pixels.mean():.2f}")
        file.writestr("truth.csv", "\n".join(lines))
    draft.draft_task(workspace, "photos", DraftRequest("photos.zip", "light"))
    fetch_raw(workspace, "photos")
    assert not run_check(workspace, "photos").critical
