"""Plots of a series: the whole series is that of the raw file; walk-forward and roll-outs are drawn as evaluated."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import edit_task, fetch_raw, new_workspace

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.preparation.prepare import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.report.sections import series
from tiltyard.workspace import Workspace


def prepared(root: Path, changes: dict[str, Any]) -> tuple[Workspace, Task, Predictions, Array]:
    """Return a prepared task with forecasts of zero, and the raw series."""
    workspace = new_workspace(root)
    edit_task(workspace, "sine", changes)
    fetch_raw(workspace, "sine")
    task = loader.load(workspace, "sine")
    prepare(workspace, task)
    test = read_test(workspace, "sine", task.columns)
    zeros = np.zeros((len(test.truth), task.target.horizon))
    with (workspace.raw("sine") / "series.csv").open(encoding="utf-8", newline="") as file:
        raw = np.array([float(row["value"]) for row in csv.DictReader(file)])
    return workspace, task, Predictions(test.truth, zeros, zeros, test.number, target="value"), raw


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"target.horizon": 4},
        {"columns.value.relative": True, "source.noise": 0.5},
        {"split.rows": 300, "train.batch_size": 8},
    ],
)
def test_whole_series_is_that_of_the_file(changes: dict[str, Any], tmp_path: Path) -> None:
    """The parts are put together without gaps, and the marks are where the parts begin."""
    workspace, task, predictions, raw = prepared(tmp_path, changes)
    (figure,) = series.series_figures(task, workspace.out("sine", "prepare"), predictions)
    actual, forecast = figure.data["lines"]
    raw = raw[-len(actual["y"]) :]
    assert len(raw) == (1000 if not task.split.rows else 300 + 32)
    assert actual["y"] == pytest.approx(raw, rel=1e-4, abs=1e-4)
    validation, test = (mark["x"] for mark in figure.data["marks"])
    assert len(forecast["x"]) == len(predictions.truth)
    assert forecast["x"][0] == test
    assert raw[test] == pytest.approx(predictions.truth.reshape(len(predictions.truth), -1)[0, 0])
    assert 0 < validation < test < len(raw)


def test_logarithms_are_undone() -> None:
    """The values between the parts come from encoded windows; they have the units of the file."""
    column = Series(window=3, log=True)
    assert series._window(column, np.log1p(np.array([0.0, 5, 600]))) == pytest.approx([0, 5, 600])


def test_long_series_keep_their_extremes() -> None:
    """A single peak among a million values is drawn, and the plot is bounded."""
    y = np.zeros(1_000_000)
    y[123_456] = 9
    thinned = series._thinned(np.arange(len(y)), y)
    assert len(thinned["x"]) <= 2 * series.MAX_PARTS + series.LAST + 2
    assert thinned["x"][-series.LAST :].tolist() == [*range(len(y) - series.LAST, len(y))]
    assert thinned["y"].max() == 9
    assert (thinned["x"][0], thinned["x"][-1]) == (0, len(y) - 1)
    short = series._thinned(np.arange(5), np.arange(5.0))
    assert short["x"].tolist() == [0, 1, 2, 3, 4]


def test_several_series_are_not_drawn_as_one(tmp_path: Path) -> None:
    """Rows of several series alternate in time; without their names they cannot be told apart."""
    workspace, task, predictions, _ = prepared(tmp_path, {})
    column = task.columns["value"].model_copy(update={"group": "shop"})
    grouped = task.model_copy(update={"columns": {"value": column}})
    assert series.series_figures(grouped, workspace.out("sine", "prepare"), predictions) == []


def walked(low: float) -> Json:
    """Return the facts of a walk-forward evaluation."""
    gain = {"new": 1.0, "old": 2.0, "value": 1.0, "low": low, "high": 2.0}
    metrics = {"rmse": 1.0, "mae": 0.8}
    walk = {"every": 2, "trainings": 10, "known": [80, 98], "epochs": 7, "metrics": metrics}
    intervals = {"rmse": [0.5, 1.5], "mae": None}
    facts = {**walk, "intervals": intervals, "over_baseline": gain, "over_model": None}
    return {"metrics": metrics, "baseline": metrics, "walk_forward": facts}


def test_walk_forward_says_what_was_done(tmp_path: Path) -> None:
    """Trainings, known rows and epochs are named, and whether the gain is significant."""
    workspace = new_workspace(tmp_path)
    task = loader.load(workspace, "sine")
    content = series.walk_forward_section(task, walked(0.5), tmp_path).content
    assert "before every 2 test rows" in content
    assert "10 times, on 80 to 98 rows. Each training ran 7 epochs" in content
    assert "better than the baseline; the gain is 1 (95% interval 0.5 to 2)" in content
    assert "Compared with the model that was trained once: too few independent test rows" in content
    assert (
        "not significantly different from the baseline"
        in series.walk_forward_section(task, walked(-1), tmp_path).content
    )
    assert series.walk_forward_section(task, {}, tmp_path).content == ""


def test_roll_outs_are_drawn_apart(tmp_path: Path) -> None:
    """Between two roll-outs the curves have a gap; without intervals there is no band."""
    task = loader.load(new_workspace(tmp_path / "project"), "sine")
    record = {f"{name}_{end}": None for name in ("rmse", "baseline", "gain") for end in ("low", "high")}
    records = [{"step": step, "rmse": step, "baseline": step, "gain": 0.0, **record} for step in (1, 2)]
    folder = tmp_path / "plots"
    folder.mkdir()
    lines = ["row,step,actual,forecast,baseline", "0,1,5,6,7", "0,2,5,6,7", "9,1,1,2,3", "9,2,1,2,3"]
    (folder / "rollout_paths.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report: Json = {"rollout": {"steps": 2, "starts": 20, "by_step": records}}
    content = series.rollout_section(task, report, tmp_path).content
    assert '"x":[0.0,1.0,9.0,9.0,10.0],"y":[5.0,5.0,null,1.0,1.0]' in content
    assert '"band"' not in content
    assert "better than the naive forecast at 0 steps, worse at 0" in content
    assert series.rollout_section(task, {}, tmp_path).content == ""
