"""Batch prediction: predictions are written next to the columns of each row, in every format, atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import DataError, RequestError, TiltyardError
from tiltyard.serving import predict_file as bulk
from tiltyard.serving.predict import load_champion
from tiltyard.serving.predict_file import predict_file
from tiltyard.workspace import Workspace

READERS: dict[str, Any] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
}


@pytest.fixture
def flowers(champions_project: Workspace, tmp_path: Path) -> Path:
    """Write a thousand flowers with a name that is not a feature, and is missing in the first hundred rows."""
    table = pd.read_csv(champions_project.raw("iris") / "table.csv").drop(columns="species")
    table = table.sample(1000, replace=True, random_state=0).reset_index(drop=True)
    table["note"] = [None if row < 100 else f"no. {row}" for row in range(1000)]
    path = tmp_path / "flowers.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("suffix", bulk.WRITERS)
def test_file_has_all_columns_and_predictions(
    champions_project: Workspace, flowers: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has all columns, the label and the probabilities, as the service predicts them."""
    monkeypatch.setattr(bulk, "ROWS_PER_PART", 64)
    task, target = loader.load(champions_project, "iris"), flowers.with_name(f"out{suffix}")
    result = predict_file(champions_project, task, flowers, target)
    served = load_champion(champions_project, task)
    assert result == {"task": "iris", "version": served.version, "rows": 1000, "out": str(target)}
    table, before = READERS[suffix](target), pd.read_csv(flowers)
    assert [*table.columns] == [*before.columns, "prediction", *(f"probability_{name}" for name in task.classes)]
    assert table["note"].isna().sum() == 100
    predictions = served.predict(before[[*task.columns]].to_dict("records")[:500])
    assert table["prediction"][:500].tolist() == [prediction["label"] for prediction in predictions]
    shares = [[*prediction["probabilities"].values()] for prediction in predictions]
    assert np.allclose(table.iloc[:500, -3:].to_numpy(), shares, rtol=1e-4)
    assert {path.name for path in flowers.parent.iterdir()} == {flowers.name, target.name}


def test_regression_has_one_prediction_column(champions_project: Workspace, tmp_path: Path) -> None:
    """For regression the prediction is one number; the file may contain the target."""
    target = tmp_path / "out.parquet"
    predict_file(
        champions_project,
        loader.load(champions_project, "diabetes"),
        champions_project.raw("diabetes") / "table.csv",
        target,
    )
    table = pd.read_parquet(target)
    assert table["prediction"].dtype == np.float64
    assert "progression" in table


@pytest.mark.parametrize("suffix", bulk.WRITERS)
def test_invalid_rows_are_written_to_a_second_file(
    champions_project: Workspace, flowers: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid rows are written to a second file, which is removed when there are none any more."""
    monkeypatch.setattr(bulk, "ROWS_PER_PART", 64)
    good, lines = flowers.read_text(), flowers.read_text().splitlines()
    lines[901] = "-1," + lines[901].partition(",")[2]
    lines[3] = "?," + lines[3].partition(",")[2]
    flowers.write_text("\n".join(lines) + "\n")
    task, target = loader.load(champions_project, "iris"), flowers.with_name(f"out{suffix}")
    result = predict_file(champions_project, task, flowers, target)
    rejected_file = flowers.with_name(f"out.rejected{suffix}")
    assert (result["rows"], result["rejected"], result["rejected_rows"]) == (998, 2, str(rejected_file))
    assert len(READERS[suffix](target)) == 998
    rejected = READERS[suffix](rejected_file)
    assert rejected["rejected_row"].tolist() == [3, 901]
    assert rejected["rejected_because"].tolist() == [
        "sepal_length: expected a number; received '?'",
        "sepal_length: expected 3 to 10; received -1",
    ]
    flowers.write_text(good)
    assert "rejected" not in predict_file(champions_project, task, flowers, target)
    assert {path.name for path in flowers.parent.iterdir()} == {flowers.name, target.name}


def test_no_predictions_are_written_if_all_rows_are_invalid(champions_project: Workspace, flowers: Path) -> None:
    """If all rows are invalid, only the reasons are written."""
    lines = flowers.read_text().splitlines()
    flowers.write_text("\n".join([lines[0], *("?" + line for line in lines[1:])]) + "\n")
    with pytest.raises(RequestError, match=r"all 1,000 were rejected: see .*out\.rejected\.csv"):
        predict_file(champions_project, loader.load(champions_project, "iris"), flowers, flowers.with_name("out.csv"))
    assert {path.name for path in flowers.parent.iterdir()} == {flowers.name, "out.rejected.csv"}


def test_unwritable_output_is_refused_before_predicting(champions_project: Workspace, flowers: Path) -> None:
    """Unknown formats, tasks without rows, missing and duplicate columns are refused first."""
    iris, sine = (loader.load(champions_project, name) for name in ("iris", "sine"))
    with pytest.raises(RequestError, match=r"expected a file of .csv, .parquet, .jsonl; received out.xlsx"):
        predict_file(champions_project, iris, flowers, Path("out.xlsx"))
    with pytest.raises(RequestError, match="sine has series data"):
        predict_file(champions_project, sine, flowers, Path("out.csv"))
    table = pd.read_csv(flowers)
    table.drop(columns="sepal_width").to_csv(flowers, index=False)
    with pytest.raises(TiltyardError, match="sepal_width"):
        predict_file(champions_project, iris, flowers, flowers.with_name("out.csv"))
    table.assign(prediction=1).to_csv(flowers, index=False)
    with pytest.raises(DataError, match="expected no column prediction"):
        predict_file(champions_project, iris, flowers, flowers.with_name("out.csv"))
    table[:0].to_csv(flowers, index=False)
    with pytest.raises(TiltyardError, match=r"flowers\.csv"):
        predict_file(champions_project, iris, flowers, flowers.with_name("out.csv"))


def test_predict_command_prints_rows_version_and_file(
    champions_project: Workspace, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command prints rows, version and file; --out without --csv is refused."""
    monkeypatch.chdir(champions_project.root)
    target = flowers.with_name("out.jsonl")
    stdout = CliRunner().invoke(cli, ["predict", "iris", "--csv", str(flowers), "--out", str(target)]).stdout
    assert json.loads(stdout)["rows"] == 1000
    without_csv = CliRunner().invoke(cli, ["predict", "iris", "--json", "[]", "--out", str(target)])
    assert "--out: expected also --csv" in without_csv.output


def test_predict_command_reports_rejected_rows(
    champions_project: Workspace, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejected rows are reported on stderr, so that stdout stays JSON."""
    monkeypatch.chdir(champions_project.root)
    lines = flowers.read_text().splitlines()
    flowers.write_text("\n".join([lines[0], "?" + lines[1], *lines[2:9]]) + "\n")
    without_out = CliRunner().invoke(cli, ["predict", "iris", "--csv", str(flowers)])
    predictions = json.loads(without_out.stdout)
    assert [prediction is None for prediction in predictions] == [True] + [False] * 7
    assert without_out.stderr == "rows rejected: 1; reasons: flowers.rejected.csv\n"
    assert (champions_project.root / "flowers.rejected.csv").read_text(encoding="utf-8").count("\n") == 2
    target = flowers.with_name("out.csv")
    with_out = CliRunner().invoke(cli, ["predict", "iris", "--csv", str(flowers), "--out", str(target)])
    assert (json.loads(with_out.stdout)["rows"], json.loads(with_out.stdout)["rejected"]) == (7, 1)
    assert with_out.stderr == f"rows rejected: 1; reasons: {target.with_name('out.rejected.csv')}\n"


@pytest.mark.parametrize("suffix", bulk.WRITERS)
def test_csv_output_has_no_formulas(
    champions_project: Workspace, flowers: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CSV files have no cell that a spreadsheet runs as a formula; other formats have the text unchanged."""
    monkeypatch.chdir(champions_project.root)
    table = pd.read_csv(flowers)[:6].assign(note=["=1+1", "-5", "@SUM(A1)", "+x", "plain", "=2"])
    table = table.assign(**{"=HYPERLINK(1)": -1.5}).astype({"petal_width": object})
    table.loc[5, "petal_width"] = "=cmd|' /C calc'!A0"
    table.to_csv(flowers, index=False)
    target, apostrophe = flowers.with_name(f"out{suffix}"), "'" if suffix == ".csv" else ""
    result = CliRunner().invoke(cli, ["predict", "iris", "--csv", str(flowers), "--out", str(target)])
    assert json.loads(result.stdout)["rows"] == 5
    predicted, rejected = READERS[suffix](target), READERS[suffix](flowers.with_name(f"out.rejected{suffix}"))
    assert predicted["note"].tolist() == [
        f"{apostrophe}=1+1",
        "-5",
        f"{apostrophe}@SUM(A1)",
        f"{apostrophe}+x",
        "plain",
    ]
    assert predicted[f"{apostrophe}=HYPERLINK(1)"].tolist() == [-1.5] * 5
    assert rejected["petal_width"].tolist() == [f"{apostrophe}=cmd|' /C calc'!A0"]
    assert CliRunner().invoke(cli, ["predict", "iris", "--csv", str(flowers)]).exit_code == 0
    rejected_table = pd.read_csv(champions_project.root / "flowers.rejected.csv")
    assert rejected_table["petal_width"].tolist() == ["'=cmd|' /C calc'!A0"]
