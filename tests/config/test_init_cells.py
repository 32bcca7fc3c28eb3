"""What `tiltyard init` decides about files as people have them, and how it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from workspaces import fetch_raw

from tiltyard import plugins
from tiltyard.cli import main as cli
from tiltyard.config import loader
from tiltyard.config.draft import missing_codes, targets, written_numbers
from tiltyard.config.draft.column_profile import profile_column
from tiltyard.config.draft.column_values import ColumnValues
from tiltyard.config.draft.draft import Drafted, draft_task
from tiltyard.config.draft.reading import dialect_of
from tiltyard.config.draft.request import DraftRequest
from tiltyard.errors import DataError, TaskError
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

DICE = np.random.default_rng(0)


def init(
    workspace: Workspace, frame: pd.DataFrame | str, target: str, **options: Any
) -> tuple[Drafted, dict[str, Any]]:
    """Draft a task from a table; return what was said and the task file."""
    path = workspace.root / "any.csv"
    if isinstance(frame, str):
        path.write_text(frame, encoding="utf-8")
    else:
        frame.to_csv(path, index=False)
    drafted = draft_task(workspace, "any", DraftRequest("any.csv", target, **options), force=True)
    return drafted, yaml.safe_load(workspace.task_file("any").read_text(encoding="utf-8"))


def test_titles_and_totals_are_left_out(workspace: Workspace) -> None:
    """Lines above the header and a total at the end become settings, which the pipeline obeys."""
    rows = "\n".join(f"{i};{i % 7},5;{'ab'[i * 7 % 5 % 2]}" for i in range(60))
    drafted, task = init(workspace, f"Export;\n;\n\nday;amount;kind\n{rows}\nSumme;210,5;\n", "kind")
    assert task["source"]["read"] == {"skip_rows": 3, "skip_last": 1}
    assert drafted.notes[:2] == ["3 lines above the header: left out", "the last row is a total: left out"]
    fetch_raw(workspace, "any")
    assert sum(prepare.prepare(workspace, loader.load(workspace, "any"))["rows"].values()) == 60


def test_bad_rows_are_skipped_on_request_and_listed(workspace: Workspace) -> None:
    """Without the option they are an error that names it."""
    text = "x,y\n" + "\n".join(f"{i},{'ab'[i % 2]}" for i in range(30)) + "\n1,2,3\n4\n5,a\n"
    with pytest.raises(DataError, match="received 3 in line 32, 1 in line 33") as caught:
        init(workspace, text, "y")
    assert "--skip-bad-rows" in caught.value.hint
    drafted, task = init(workspace, text, "y", dialect=dialect_of((), skip_bad_rows=True))
    assert task["source"]["read"] == {"skip_bad_rows": True}
    assert drafted.repairs == ["malformed rows left out, expected 2 cells: 3 in line 32, 1 in line 33"]
    assert drafted.rows == 31


@pytest.mark.parametrize("skip_rows", [0, 2])
def test_unclosed_quotes_cost_only_their_own_lines(workspace: Workspace, skip_rows: int) -> None:
    """With the option, lines in which a quote is not closed are left out; other quoted cells are read as such."""
    lines = [f'{i},"{"ab"[i % 2]}, or so",{i * i / 7:.3f}' for i in range(40)]
    lines[10], lines[25], lines[39] = '3,"oops,1', '4,"1" wide",2', '5,"end,2'
    text = "title\n" * skip_rows + "x,y,z\n" + "\n\n".join(lines) + "\n"
    with pytest.raises(DataError, match=f"a quote after line {skip_rows + 20} is not closed") as caught:
        init(workspace, text, "y")
    assert "--skip-bad-rows" in caught.value.hint
    drafted, _ = init(workspace, text, "y", dialect=dialect_of((), skip_bad_rows=True, skip_rows=skip_rows or None))
    numbers = ", ".join(str(skip_rows + line) for line in (22, 52, 80))
    assert drafted.repairs == [f"a quote is not closed in line {numbers}: left out"]
    assert drafted.rows == 37
    fetch_raw(workspace, "any")
    assert sum(prepare.prepare(workspace, loader.load(workspace, "any"))["rows"].values()) == 37


def test_options_of_init_are_settings_of_the_source(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option is written to source.read."""
    monkeypatch.chdir(workspace.root)
    rows = "\n".join(f"{'x' if i % 5 == 0 else i}|{i % 7},5|{'ab'[i * 7 % 5 % 2]}" for i in range(60))
    (workspace.root / "any.csv").write_text(f"title\nn|amount|kind\n{rows}\n", encoding="utf-8")
    options = ["--na", "x", "--delimiter", "|", "--decimal", ",", "--skip-rows", "1", "--encoding", "utf-8"]
    result = CliRunner().invoke(cli.cli, ["init", "any", "--data", "any.csv", "--target", "kind", *options])
    assert result.exit_code == 0, result.output
    read = yaml.safe_load(workspace.task_file("any").read_text(encoding="utf-8"))["source"]["read"]
    assert read["na"][-1] == "x"
    assert {key: read[key] for key in read if key != "na"} == {
        "delimiter": "|",
        "encoding": "utf-8",
        "decimal": ",",
        "skip_rows": 1,
    }
    with pytest.raises(TaskError, match=r"--encoding: .*expected an encoding that Python knows"):
        dialect_of((), encoding="nonsense")


@pytest.mark.parametrize(
    ("name", "values", "codes"),
    [
        ("age", [*range(18, 90)] * 4 + [999] * 20, {999}),
        ("answer", [1, 2, 3, 4, 5] * 50 + [99] * 9, {99}),
        ("days", [*range(1, 200)] * 2 + [-1] * 300, {-1}),
        ("glucose", [*range(60, 180)] * 2 + [0] * 9, {0}),
        ("age", [*range(18, 100)] * 4, set()),  # 99 is an age
        ("step", [-1, 0, 1] * 50, set()),
        ("visits", [*range(30)] * 5, set()),  # zero is a count
        ("spend", [0.0] * 100 + [x / 7 for x in range(1, 200)], set()),
        ("temperature", [-9, *range(-20, 20)] * 4, set()),
    ],
)
def test_numbers_that_mean_a_missing_value(name: str, values: list[float], codes: set[float]) -> None:
    """Sentinels are far from all other values; ordinary values are none."""
    assert set(missing_codes.number_codes(name, ColumnValues.of(values))) == codes


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["5 kg", "300 g"] * 20, "numbers in several units (g, kg): convert them to one"),
        (
            [f"{unit}{i % 9}" for i in range(40) for unit in "$€"],
            "numbers in several units ($, €): convert them to one",
        ),
        (["x"] * 299 + ["y"], "nearly constant: x in 99.7%"),
        ([f"n{i}" for i in range(290)] + ["n0"] * 10, "an id: 290 different values in 300 rows"),
    ],
)
def test_useless_columns_are_left_out(cells: list[str], reason: str) -> None:
    """Mixed units, constants and ids with few repeats are left out."""
    assert profile_column("any", cells).reason == reason


@pytest.mark.parametrize(
    "cells", [["A1", "A2"] * 20, ["12A", "12B"] * 20, ["007 kg", "008 kg"] * 9, ["1-2", "3-4"] * 9]
)
def test_codes_are_no_numbers(cells: list[str]) -> None:
    """Letters around digits are a unit only if they are known as one, or the same in every cell behind them."""
    assert profile_column("any", cells).kind == "category"


@given(st.lists(st.text("0123456789.,- €$%kgAB:hm", min_size=1, max_size=8), min_size=1, max_size=9))
def test_a_format_that_is_found_reads_all_cells(cells: list[str]) -> None:
    """Whatever the cells are, a declared format explains each of them."""
    written = written_numbers.find_format("any", cells)
    assert written is None or all(written.read(cell.strip()) is not None for cell in cells)


def test_grades_are_offered_as_a_regression(workspace: Workspace) -> None:
    """Whole numbers in a row may be grades; the user decides."""
    frame = pd.DataFrame({"x": DICE.normal(size=120), "quality": DICE.integers(3, 9, 120)})
    drafted, task = init(workspace, frame, "quality")
    assert task["problem"] == "classification"
    assert any("--problem regression" in note for note in drafted.notes)
    drafted, task = init(workspace, frame, "quality", problem="regression")
    assert task["problem"] == "regression"
    assert not any("--problem" in note for note in drafted.notes)


def test_a_logarithm_is_learned_where_it_helps(workspace: Workspace) -> None:
    """A product of effects gets a logarithm, a sum of them does not, though both are skewed."""
    size, noise = DICE.normal(0, 1, 400), DICE.normal(0, 0.6, 400)
    drafted, task = init(workspace, pd.DataFrame({"size": size, "price": np.exp(6 + size + noise).round(2)}), "price")
    assert (task["target"]["log"], task["gate"]["metric"]) == (True, "mae")
    assert any("learned by its logarithm" in note for note in drafted.notes)
    weight = DICE.lognormal(3, 1, 400).round(2)
    _, task = init(
        workspace, pd.DataFrame({"weight": weight, "price": (3 * weight + 150 + 60 * noise).round(2)}), "price"
    )
    assert "log" not in task["target"]
    assert task["gate"]["metric"] == "rmse"
    assert not targets.is_skewed(DICE.normal(9, 1, 99))


def test_an_outlier_of_the_target_is_told(workspace: Workspace) -> None:
    """One price with a slipped decimal point is named."""
    prices = DICE.normal(100, 9, 300).round(2)
    prices[7] = 10_234.5
    drafted, _ = init(workspace, pd.DataFrame({"x": DICE.normal(size=300), "price": prices}), "price")
    assert any(note.startswith("price: 10,234.5 is far from all others, whose median is") for note in drafted.notes)


def test_a_series_with_gaps_is_filled(workspace: Workspace) -> None:
    """Missing steps and values are filled by the task, in validation and in preparation."""
    days = pd.date_range("2024-01-01", periods=120).delete([20, 21, 50])
    heat = [f"{value:.1f} °C" for value in 20 + np.sin(np.arange(len(days)) / 20)]  # no season of a week
    heat[30] = ""
    drafted, task = init(workspace, pd.DataFrame({"day": days.strftime("%Y-%m-%d"), "heat": heat}), "heat")
    assert (task["columns"]["heat"]["gaps"], task["columns"]["heat"]["written"]) == ("forward", {"symbols": ["°C"]})
    assert drafted.notes[-1] == "day: gaps are filled with the value before (gaps: forward)"
    fetch_raw(workspace, "any")
    loaded = loader.load(workspace, "any")
    facts = plugins.load("modalities", "series")().facts(loaded, workspace.raw("any"))
    assert len(facts) == 120
    assert facts["heat"].iloc[20] == facts["heat"].iloc[19]
    assert set(facts["gap"]) == {1.0}
    assert facts.attrs["repairs"] == ["3 missing time steps filled with the value before"]
    prepare.prepare(workspace, loaded)


def test_a_number_that_means_missing_in_a_series_is_filled(workspace: Workspace) -> None:
    """A code such as -999 beside the forecast series is no value: not in the example, and filled before learning."""
    days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
    heat = (20 + DICE.normal(size=120)).round(1)
    heat[[20, 50, 119]] = -999
    drafted, task = init(workspace, pd.DataFrame({"day": days, "sold": np.arange(120.0), "heat": heat}), "sold")
    assert (task["columns"]["heat"]["na"], task["columns"]["heat"]["gaps"]) == ([-999], "forward")
    assert min(task["serve"]["example"]["heat"]) > 0
    assert task["target"] == {"column": "sold"}  # though it counts like an id
    assert "heat: -999 in 2.5% of the rows means a missing value" in drafted.notes
    fetch_raw(workspace, "any")
    loaded = loader.load(workspace, "any")
    facts = plugins.load("modalities", "series")().facts(loaded, workspace.raw("any"))
    assert facts["heat"].iloc[20] == facts["heat"].iloc[19]
    prepare.prepare(workspace, loaded)


def test_a_constant_series_is_refused(workspace: Workspace) -> None:
    """There is nothing to forecast if all values are equal, and another column is not forecast instead."""
    days = pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": days, "sold": 3, "heat": DICE.normal(size=120)})
    with pytest.raises(DataError, match="sold: expected numbers that change"):
        init(workspace, frame, "sold", time="day")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: f, "no forecast, since times repeat"),
        (lambda f: f.iloc[::-2], "no forecast, since the rows are not in order of time"),
        (lambda f: f.iloc[:60:2], "no forecast, which needs 40 rows or more; received 30"),
        (lambda f: f.assign(other=f["day"]), "several columns of dates; to forecast by one: --time day"),
        (lambda f: f.assign(sold=np.where(f["sold"] > 0, "a", "b")), "sold is a label, so it is classified"),
    ],
)
def test_init_says_why_there_is_no_forecast(workspace: Workspace, change: Any, reason: str) -> None:
    """A table with dates becomes a forecast, or the reason is told with what to do."""
    days = np.repeat(pd.date_range("2024-01-01", periods=80).strftime("%Y-%m-%d"), 2)
    frame = pd.DataFrame({"day": days, "x": DICE.normal(size=160), "sold": DICE.normal(size=160).round(3)})
    drafted, _ = init(workspace, change(frame), "sold")
    assert any(reason in note for note in drafted.notes), drafted.notes


def test_dates_of_several_columns_order_a_series(workspace: Workspace) -> None:
    """Year, month and day become one date, by which the series is ordered."""
    days = pd.date_range("2024-01-01", periods=100)
    frame = pd.DataFrame(
        {"Year": days.year, "Month": days.month, "Day": days.day, "sold": DICE.normal(size=100).round(3)}
    )
    _, task = init(workspace, frame, "sold")
    assert task["source"]["read"] == {"dates": {"date": ["Year", "Month", "Day"]}}
    assert task["columns"]["sold"]["order"] == "date"
    fetch_raw(workspace, "any")
    prepare.prepare(workspace, loader.load(workspace, "any"))
    edited = workspace.task_file("any").read_text(encoding="utf-8").replace("[Year,", "[year,")
    workspace.task_file("any").write_text(edited, encoding="utf-8")
    with pytest.raises(DataError, match="expected a column year of whole numbers; received only Year"):
        prepare.prepare(workspace, loader.load(workspace, "any"))


def test_too_many_rows_without_a_target_are_refused(workspace: Workspace) -> None:
    """Beyond the share that the task allows, the pipeline stops and says what to set."""
    frame = pd.DataFrame({"x": DICE.normal(size=100), "y": ["a", "b"] * 40 + [""] * 20})
    drafted, task = init(workspace, frame, "y")
    assert "y: 20 of 100 rows have no target and are left out" in drafted.notes
    assert task["target"]["drop_missing"] == 0.31
    fetch_raw(workspace, "any")
    assert sum(prepare.prepare(workspace, loader.load(workspace, "any"))["rows"].values()) == 80
    text = workspace.task_file("any").read_text(encoding="utf-8").replace("0.31", "0.1")
    workspace.task_file("any").write_text(text, encoding="utf-8")
    with pytest.raises(
        DataError, match=r"expected a target \(y\) in at least 90% of the rows; it is missing in 20 of 100"
    ):
        prepare.prepare(workspace, loader.load(workspace, "any"))


def test_excel_is_drafted(workspace: Workspace, tmp_path: Path) -> None:
    """Sheet, title and total become settings."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["Report"])
    sheet = book.create_sheet("Data")
    for row in [["Sales 2024"], [], ["x", "kind"], *([i / 7, "ab"[i * 7 % 5 % 2]] for i in range(60)), ["Total", None]]:
        sheet.append(row)
    book.save(workspace.root / "book.xlsx")
    draft_task(workspace, "any", DraftRequest("book.xlsx", "kind"))
    read = yaml.safe_load(workspace.task_file("any").read_text(encoding="utf-8"))["source"]["read"]
    assert read == {"sheet": "Data", "skip_rows": 2, "skip_last": 1}
    fetch_raw(workspace, "any")
    assert sum(prepare.prepare(workspace, loader.load(workspace, "any"))["rows"].values()) == 60
    assert tmp_path.is_dir()


def test_labels_of_a_target_may_have_signs_for_missing_values(workspace: Workspace) -> None:
    """A question mark is no label."""
    frame = pd.DataFrame({"x": DICE.normal(size=100), "y": ["a", "b", "a", "b", "?"] * 20})
    _, task = init(workspace, frame, "y")
    assert task["target"]["classes"] == ["a", "b"]
    assert targets.MIN_GRADES > 2


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_typed_formats_declare_texts_for_missing_values_in_the_column(workspace: Workspace, suffix: str) -> None:
    """JSON and Parquet have their own missing value, so that a question mark is a setting of its column."""
    cells = [str(i % 50) if i % 9 else "?" for i in range(90)]
    frame = pd.DataFrame({"x": cells, "job": ["a", "b", "-"] * 30, "y": DICE.choice(["p", "q"], 90)})
    path = workspace.root / f"any.{suffix}"
    _ = frame.to_json(path, orient="records", lines=True) if suffix == "jsonl" else frame.to_parquet(path)
    draft_task(workspace, "any", DraftRequest(path.name, "y"))
    task = loader.load(workspace, "any")
    assert [task.columns[name].model_dump()["na"] for name in ("x", "job")] == [["?"], ["-"]]
    fetch_raw(workspace, "any")
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 90
    parsed = task.encoder().parse([{"x": "?", "job": "-"}, {"x": 3, "job": "a"}])
    assert np.isnan(parsed["x"]).tolist() == [True, False]
    assert parsed["job"].tolist() == ["", "a"]
