"""Drafting a task from a table: guesses, reasons to leave columns out, and that the draft works."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspaces import fetch_raw

from tiltyard.config import loader
from tiltyard.config.draft import column_profile, draft, leakage
from tiltyard.config.draft.request import DraftRequest
from tiltyard.data import fetch
from tiltyard.errors import DataError, SourceError, TaskError, TiltyardError
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

MIRROR = os.environ.get("TILTYARD_MIRROR", "")
real = pytest.mark.skipif(not Path(MIRROR, "churn.csv").is_file(), reason="needs the real data: set TILTYARD_MIRROR")


def customers(rows: int = 400) -> pd.DataFrame:
    """Return a table with one column of each type, and one for each reason to be left out."""
    dice = np.random.default_rng(0)
    age, vip = dice.integers(18, 90, rows), dice.random(rows) < 0.5
    churned = age + 20 * vip + dice.normal(0, 10, rows) > 65
    return pd.DataFrame(
        {
            "CustomerId": dice.permutation(rows) + 7_000,
            "age": age,
            "income": np.where(dice.random(rows) < 0.1, np.nan, dice.lognormal(10, 1, rows).round(2)),
            "vip": np.where(vip, "yes", "no"),
            "country": dice.choice(["France", "Germany", "Spain"], rows),
            "since": pd.date_range("2020-01-01", periods=rows).strftime("%d.%m.%Y"),
            "surname": [f"Name{number}" for number in dice.integers(0, 300, rows)],
            "remark": [f"a remark of some words, number {number}" for number in range(rows)],
            "planet": "Earth",
            "closed": np.where(churned, "2024-05-01", ""),
            "gone": np.where(churned, "left", "stayed"),
        }
    )


@pytest.fixture
def table(workspace: Workspace) -> Path:
    """The customers as a file in the project."""
    path = workspace.root / "customers.csv"
    customers().to_csv(path, index=False)
    return path


def test_draft_contains_inferred_types_and_reasons(workspace: Workspace, table: Path) -> None:
    """The draft contains types, bounds, missing values, labels and the reasons for omissions."""
    drafted = draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone"))
    content = yaml.safe_load(workspace.task_file("churn").read_text(encoding="utf-8"))
    kinds = {name: column["type"] for name, column in content["columns"].items()}
    assert kinds == {"age": "number", "income": "number", "vip": "boolean", "country": "category", "since": "date"}
    assert content["columns"]["income"]["missing"] == "median"
    assert content["columns"]["since"]["format"] == "%d.%m.%Y"
    assert content["target"] == {"column": "gone", "classes": ["left", "stayed"]}
    assert (content["problem"], content["split"]["kind"]) == ("classification", "stratified")
    reasons = {traits.name: traits.reason for traits in drafted.traits if traits.reason}
    assert reasons["CustomerId"] == "an id: 400 different values in 400 rows"
    assert reasons["planet"] == "constant: always Earth"
    assert reasons["surname"].endswith("too many to learn from")
    assert reasons["remark"].startswith("free text")
    assert set(reasons) == {"CustomerId", "planet", "surname", "remark", "closed"}
    assert all(reason in workspace.task_file("churn").read_text(encoding="utf-8") for reason in reasons.values())


def test_draft_can_be_fetched_and_prepared(workspace: Workspace, table: Path) -> None:
    """A draft can be fetched and prepared as it is, and is in the list of tasks."""
    draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone"))
    assert "churn" in yaml.safe_load((workspace.root / "params.yaml").read_text(encoding="utf-8"))["tasks"]
    task = loader.load(workspace, "churn")
    fetch.get(workspace, task)
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 400


def test_task_file_is_overwritten_only_with_force(workspace: Workspace, table: Path) -> None:
    """An existing file is overwritten only with --force, and listed once in params.yaml."""
    draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone"))
    before = workspace.task_file("churn").read_bytes()
    with pytest.raises(TaskError, match=r"tasks/churn\.yaml exists already") as caught:
        draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone", drop=("age",)))
    assert "--force" in caught.value.hint
    assert workspace.task_file("churn").read_bytes() == before
    draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone", drop=("age",)), force=True)
    assert "left out: age: dropped by --drop" in workspace.task_file("churn").read_text(encoding="utf-8")
    assert (workspace.root / "params.yaml").read_text(encoding="utf-8").count("churn") == 1


@pytest.mark.parametrize(
    ("draft_request", "message"),
    [
        (DraftRequest("customers.csv", "goner"), "expected the columns goner .did you mean .gone.*received"),
        (
            DraftRequest("customers.csv", "gone", drop=("ages",)),
            "expected the columns ages .did you mean .age.*received",
        ),
        (DraftRequest("customers.csv", "gone", "regression"), "gone: expected numbers for a regression"),
        (DraftRequest("customers.csv", "planet"), "planet: expected 2 to 1000 labels; received 1"),
        (DraftRequest("customers.csv", "income", drop=tuple(customers().columns.drop("income"))), "no column is left"),
    ],
)
def test_invalid_draft_request_is_rejected(
    workspace: Workspace, table: Path, draft_request: DraftRequest, message: str
) -> None:
    """The error names the column, and nothing is written."""
    assert table.is_file()
    with pytest.raises(DataError, match=message):
        draft.draft_task(workspace, "churn", draft_request)
    assert not workspace.task_file("churn").exists()


def test_missing_data_file_is_an_error(workspace: Workspace) -> None:
    """The error names the missing file."""
    with pytest.raises(SourceError, match=r"nowhere\.csv"):
        draft.draft_task(workspace, "churn", DraftRequest("nowhere.csv", "gone"))


def test_fractional_target_is_a_regression(workspace: Workspace, table: Path) -> None:
    """The bounds of the target are widened; incomes are skewed, so that the absolute error judges."""
    assert (
        draft.draft_task(workspace, "income", DraftRequest(table.name, "income", drop=("gone",))).problem
        == "regression"
    )
    task = loader.load(workspace, "income")
    assert (task.problem, task.gate.metric, task.split.kind) == ("regression", "mae", "random")
    assert task.target.bounds
    assert task.target.bounds[0] == 0


def test_table_of_text_only_is_a_text_task(workspace: Workspace) -> None:
    """A text column is a feature only if there is no other."""
    words = np.random.default_rng(0).choice(["win", "money", "now", "lunch", "home", "see"], (200, 6))
    frame = pd.DataFrame({"spam": words[:, 0] == "win", "text": [" ".join(row) for row in words]})
    frame.to_csv(workspace.root / "sms.tsv", sep="\t", index=False)
    draft.draft_task(workspace, "spam", DraftRequest("sms.tsv", "spam"))
    task = loader.load(workspace, "spam")
    assert (task.modality, task.model.family) == ("text", "ngrams")


def test_labels_keep_leading_zeros(workspace: Workspace) -> None:
    """A label such as 01 is not read as a number."""
    frame = pd.DataFrame({"width": np.arange(60) % 7 + np.linspace(0, 1, 60), "code": ["01", "02"] * 30})
    frame.to_csv(workspace.root / "codes.csv", index=False)
    draft.draft_task(workspace, "codes", DraftRequest("codes.csv", "code", "classification"))
    task = loader.load(workspace, "codes")
    assert task.classes == ["01", "02"]
    fetch.get(workspace, task)
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 60


def test_leaks_are_detected_and_noisy_features_are_not() -> None:
    """A copy of the target in other units and a code for the label leak, but a noisy feature does not."""
    dice = np.random.default_rng(0)
    target = dice.normal(0, 1, 500)
    labels = np.where(target > 0, "up", "down").tolist()
    assert leakage.leakage_score((5 * target + 3).tolist(), target.tolist(), labels=False) > leakage.MIN_R2
    assert leakage.leakage_score((target + dice.normal(0, 1, 500)).tolist(), target.tolist(), labels=False) == 0
    assert leakage.leakage_score(target.tolist(), labels, labels=True) > leakage.MIN_BALANCED_ACCURACY
    assert leakage.leakage_score(["u" if label == "up" else "d" for label in labels], labels, labels=True) == 1
    assert leakage.leakage_score((target + dice.normal(0, 0.5, 500)).tolist(), labels, labels=True) == 0


def test_mostly_unique_labels_are_not_a_leak() -> None:
    """Mostly unique labels raise no warning and no leak."""
    learned = np.random.default_rng(0).permutation(60) % 2 == 0
    labels = np.where(learned, "same", np.where(np.arange(60) % 3 == 0, "one", "other")).astype(object)
    labels[np.flatnonzero(learned)[:20]] = [f"rare {i}" for i in range(20)]
    assert len(set(labels)) * 2 <= len(labels)
    assert leakage.leakage_score([*range(60)], labels.tolist(), labels=True) == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(18, 92, [0, 170]), (0.5, 0.9, [0, 1.3]), (-3, 3, [-9, 9]), (5, 5, [0, 10]), (0, 0, [0, 1])],
)
def test_bounds_are_wider_than_the_values(low: float, high: float, expected: list[float]) -> None:
    """Bounds leave room for new records, are rounded outwards, and not negative for non-negative values."""
    assert column_profile.bounds(low, high) == pytest.approx(expected)


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_bounds_contain_the_values(low: float, width: float) -> None:
    """Bounds contain any range of values."""
    first, last = column_profile.bounds(low, low + width)
    assert first <= low
    assert low + width <= last
    assert first < last


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=False), st.text(max_size=12)
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_is_drafted_or_rejected(workspace: Workspace, data: st.DataObject) -> None:
    """For any file, init writes a valid task file or raises an error of this project."""
    names = data.draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
    row = st.fixed_dictionaries(dict.fromkeys(names, CELLS))
    rows = data.draw(st.lists(row, max_size=70))
    path = workspace.root / "any.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    try:
        draft.draft_task(workspace, "any", DraftRequest(path.name, names[0]), force=True)
    except TiltyardError:
        return
    assert loader.load(workspace, "any").target.column == names[0]


@real
def test_leak_in_forest_fires_is_detected(workspace: Workspace) -> None:
    """`area` leaks, since `size_category` was derived from it."""
    drafted = draft.draft_task(workspace, "fires", DraftRequest("forest_fires.csv", "size_category"))
    assert [traits.name for traits in drafted.traits if traits.reason.startswith("leaks the target")] == ["area"]
    assert "month" in loader.load(workspace, "fires").columns


@real
@pytest.mark.catalogue
@pytest.mark.parametrize(
    ("data", "target", "problem"),
    [
        ("churn.csv", "Exited", "classification"),
        ("house_sales.csv.gz", "SalePrice", "regression"),
        ("california_housing.csv.gz", "median_house_value", "regression"),
        ("advertising.csv", "sales", "regression"),
        ("mtcars.csv", "mpg", "regression"),
        ("wine_quality_red.csv", "quality", "classification"),
        ("admissions.csv", "admit", "classification"),
        ("sms_spam.tsv", "isspam", "classification"),
        ("prosper_loans.csv.gz", "LoanStatus", "classification"),
    ],
)
def test_real_tables_are_drafted(workspace: Workspace, data: str, target: str, problem: str) -> None:
    """The drafts of real tables can be prepared."""
    assert draft.draft_task(workspace, "real", DraftRequest(data, target)).problem == problem
    task = loader.load(workspace, "real")
    fetch.get(workspace, task)
    facts = prepare.prepare(workspace, task)
    assert min(facts["rows"].values()) > 0


def months(rows: int = 120) -> pd.DataFrame:
    """Return monthly rows: sales grow and oscillate, and the price is nearly constant."""
    dice = np.random.default_rng(0)
    month = pd.date_range("2010-01-01", periods=rows, freq="MS").strftime("%d.%m.%Y")
    sold = 100 * 1.1 ** (np.arange(rows) / 12) * (1 + 0.5 * np.sin(np.arange(rows) * np.pi / 6))
    price, remark = dice.normal(10, 1, rows), [f"n{number % 5}" for number in range(rows)]
    return pd.DataFrame({"month": month, "sold": sold, "price": price.round(2), "remark": remark})


def _forecast(workspace: Workspace, frame: pd.DataFrame, **draft_request: Any) -> dict[str, Any]:
    """Draft a forecast of sales, check that it can be prepared, and return the draft."""
    frame.to_csv(workspace.root / "shop.csv", index=False)
    draft.draft_task(workspace, "shop", DraftRequest("shop.csv", "sold", **draft_request), force=True)
    task = loader.load(workspace, "shop")
    fetch.get(workspace, task)
    prepare.prepare(workspace, task)
    content: dict[str, Any] = yaml.safe_load(workspace.task_file("shop").read_text(encoding="utf-8"))
    return content


def test_monthly_rows_are_a_series(workspace: Workspace) -> None:
    """A table with one rising column of dates is drafted as a series."""
    content = _forecast(workspace, months())
    sold = content["columns"].pop("sold")
    assert content["problem"] == "forecasting"
    assert content["model"]["blend_references"]
    assert sold.pop("bounds")
    own = {"relative": True, "log": True, "season": 12}
    assert sold == {"type": "series", "window": 12, "order": "month", "format": "%d.%m.%Y", **own}
    assert list(content["columns"]) == ["price"]
    assert content["split"] == {"kind": "chronological", "test": 0.25, "validation": 0.25}
    assert [len(values) for values in content["serve"]["example"].values()] == [12, 12]
    assert "left out: remark: not a number" in workspace.task_file("shop").read_text(encoding="utf-8")


def test_dated_table_can_be_a_regression(workspace: Workspace) -> None:
    """With --problem regression, the date is a feature."""
    content = _forecast(workspace, months(), problem="regression")
    assert content["columns"]["month"]["type"] == "date"


def test_group_option_separates_series(workspace: Workspace) -> None:
    """--group names the column of groups; repeated times without it raise an error with a hint."""
    frame = pd.concat([months().assign(shop=shop) for shop in ("north", "south")])
    with pytest.raises(DataError, match="month: expected one row for each time") as caught:
        _forecast(workspace, frame, time="month")
    assert "--group" in caught.value.hint
    content = _forecast(workspace, frame, time="month", group="shop")
    assert content["columns"]["sold"]["group"] == "shop"


def test_rows_out_of_order_are_sorted(workspace: Workspace) -> None:
    """Of rows in any order, the draft is that of sorted rows, and says that they are sorted."""
    sorted_content = _forecast(workspace, months(), time="month")
    for rows in (months()[::-1], months().sample(frac=1, random_state=0)):
        content = _forecast(workspace, rows, time="month")
        assert [column.pop("sort") for column in content["columns"].values()] == [True, True]
        assert content == sorted_content


def test_forecast_needs_a_time_column(workspace: Workspace) -> None:
    """Without dates, the error names the option for the column of times."""
    with pytest.raises(DataError, match="expected a column of dates") as caught:
        _forecast(workspace, months().drop(columns="month"), problem="forecasting")
    assert "--time" in caught.value.hint


def test_binned_target_is_a_leak(workspace: Workspace) -> None:
    """A feature that is a bin of the target leaks, and an unrelated one does not."""
    dice = np.random.default_rng(0)
    area = dice.gamma(1, 20, 300)
    frame = pd.DataFrame({"wind": dice.normal(0, 1, 300), "size": np.where(area > 30, "large", "small"), "area": area})
    frame["side"] = dice.choice(["north", "south"], 300)
    frame.to_csv(workspace.root / "fires.csv", index=False)
    drafted = draft.draft_task(workspace, "fires", DraftRequest("fires.csv", "area"))
    assert [traits.name for traits in drafted.traits if traits.reason.startswith("leaks the target")] == ["size"]


def test_postal_codes_are_categories(workspace: Workspace) -> None:
    """Postal codes are categories, and all of them are learned in a small table."""
    dice = np.random.default_rng(0)
    frame = pd.DataFrame({"ZipCode": dice.integers(98_001, 98_061, 900), "price": dice.normal(10, 1, 900)})
    frame.to_csv(workspace.root / "homes.csv", index=False)
    draft.draft_task(workspace, "homes", DraftRequest("homes.csv", "price"))
    column = yaml.safe_load(workspace.task_file("homes").read_text(encoding="utf-8"))["columns"]["ZipCode"]
    assert column == {"type": "category", "unseen": "bucket", "top": 60}


def test_split_by_time_or_by_group(workspace: Workspace, table: Path) -> None:
    """--time tests on the latest rows, --group on unseen groups, and neither column is a feature."""
    customers().assign(height=np.random.default_rng(1).normal(170, 10, 400)).to_csv(table, index=False)
    draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone", time="since"))
    content = yaml.safe_load(workspace.task_file("churn").read_text(encoding="utf-8"))
    assert content["split"] == {"kind": "chronological", "by": "since", "format": "%d.%m.%Y"}
    assert "since" not in content["columns"]
    fetch_raw(workspace, "churn")
    assert sum(prepare.prepare(workspace, loader.load(workspace, "churn"))["rows"].values()) == 400
    draft.draft_task(workspace, "churn", DraftRequest(table.name, "gone", group="surname"), force=True)
    content = yaml.safe_load(workspace.task_file("churn").read_text(encoding="utf-8"))
    assert content["split"] == {"kind": "stratified", "group": "surname"}
    with pytest.raises(TaskError, match="only for a forecast"):
        draft.draft_task(
            workspace, "churn", DraftRequest(table.name, "gone", time="since", group="surname"), force=True
        )


def test_example_of_a_long_number_is_within_bounds(workspace: Workspace) -> None:
    """The example is not rounded beyond the bounds, where the task file would be rejected."""
    rows = "\n".join(f"{123_456_789 + i % 7},{i % 3 % 2}" for i in range(60))
    (workspace.root / "long.csv").write_text(f"size,answer\n{rows}\n")
    draft.draft_task(workspace, "long", DraftRequest("long.csv", "answer"))
    assert loader.load(workspace, "long").serve.example["size"] == 123_456_789
