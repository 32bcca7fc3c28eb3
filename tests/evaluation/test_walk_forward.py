"""Walk-forward evaluation: each training knows all rows up to the value that it forecasts, and nothing after it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import edit_task, fetch_raw, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TaskError, TrainingError
from tiltyard.evaluation import walk_forward
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.preparation.prepare import prepare
from tiltyard.preparation.sealed_test import TestRows, read_test
from tiltyard.workspace import Workspace

SMALL = {"split.rows": 200, "train.epochs": 2, "train.patience": None, "model.units": [4], "columns.value.window": 8}
EXAMPLE = {"serve.example": [1.0] * 8, "evaluate": {"walk_forward": {"every": 4}, "rollout": 6}}


def _prepared(root: Path, changes: dict[str, Any] | None = None) -> tuple[Workspace, Task]:
    workspace = new_workspace(root)
    edit_task(workspace, "sine", {**SMALL, **EXAMPLE, **(changes or {})})
    fetch_raw(workspace, "sine")
    task = loader.load(workspace, "sine")
    prepare(workspace, task)
    return workspace, task


def _predictions(test: TestRows) -> Predictions:
    """Return predictions of zero for all test rows."""
    zeros = np.zeros((len(test.truth), test.truth.reshape(len(test.truth), -1).shape[1]))
    return Predictions(test.truth, zeros, zeros, test.number)


@pytest.mark.parametrize("horizon", [1, 3])
def test_each_training_knows_all_rows_before_and_no_later_value(
    horizon: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last value that a training knows is the last input of the forecast; its first row is the first of all."""
    workspace, task = _prepared(tmp_path, {"target.horizon": horizon})
    files.write_json(workspace.out("sine", "train") / "training.json", {"best_epoch": 2, "history": {}})
    calls: list[tuple[Array, Array, Array]] = []

    def refit(*arguments: Any) -> Array:
        *_, known, asked = arguments
        calls.append((*known, asked))
        return np.tile(known[1].mean(axis=0).reshape(1, -1), (len(asked), 1))

    monkeypatch.setattr("tiltyard.training.refit.refit", refit)
    monkeypatch.setattr("tiltyard.training.train.opened", lambda *_: _Opened(task, workspace))
    test = read_test(workspace, "sine", task.columns)
    facts, plots = walk_forward.walk_forward(workspace, task, test, _predictions(test), {"naive_mae": 1.0})
    for features, truth, asked in calls:
        assert np.float32(truth.reshape(len(truth), -1)[-1, -1]) == asked[0, -1, 0]
        assert np.array_equal(features[0], calls[0][0][0])
    assert facts["trainings"] == len(calls) == -(-len(test.truth) // 4)
    assert facts["known"] == [len(calls[0][1]), len(calls[-1][1])]
    assert facts["known"][0] == 200 - round(200 * 0.2) + 8  # all rows before, also those left out between the parts
    assert plots["walk_forward"]["row"] == test.number.tolist()
    assert plots["walk_forward"]["training"][:5] == [1, 1, 1, 1, 2]


class _Opened:
    """Prepared rows, without Keras."""

    def __init__(self, task: Task, workspace: Workspace) -> None:
        from tiltyard.modeling.inference.encoder import Encoder

        self.encoder = Encoder.load(workspace.out(task.name, "prepare") / "encoder.json")


def test_a_training_that_diverges_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NaN is no forecast, and no number of a report."""
    workspace, task = _prepared(tmp_path)
    files.write_json(workspace.out("sine", "train") / "training.json", {"best_epoch": 2, "history": {}})
    monkeypatch.setattr("tiltyard.training.refit.refit", lambda *arguments: np.full((len(arguments[-1]), 1), np.nan))
    monkeypatch.setattr("tiltyard.training.train.opened", lambda *_: _Opened(task, workspace))
    test = read_test(workspace, "sine", task.columns)
    with pytest.raises(TrainingError, match="training 1 of sine gives NaN or infinity"):
        walk_forward.walk_forward(workspace, task, test, _predictions(test), {"naive_mae": 1.0})


def test_changed_raw_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of other data than those that were sealed are not trained on."""
    workspace, task = _prepared(tmp_path)
    monkeypatch.setattr("tiltyard.training.train.opened", lambda *_: _Opened(task, workspace))
    path = workspace.raw("sine") / "series.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[-1] = f"{lines[-1].rpartition(',')[0]},9.5" if lines[0].endswith("value") else lines[-1].replace("9", "8")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    test = read_test(workspace, "sine", task.columns)
    with pytest.raises(DataError, match="expected the rows that were prepared"):
        walk_forward.walk_forward(workspace, task, test, _predictions(test), {"naive_mae": 1.0})


def test_too_many_trainings_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the smallest step that is allowed."""
    workspace, task = _prepared(tmp_path)
    monkeypatch.setattr(walk_forward, "MAX_TRAININGS", 5)
    test = read_test(workspace, "sine", task.columns)
    with pytest.raises(TaskError, match=r"every: expected at least 7 for 32 test rows.*; received 4"):
        walk_forward.walk_forward(workspace, task, test, _predictions(test), {"naive_mae": 1.0})


def _evaluate(root: str) -> dict[str, Any]:
    workspace = Workspace(Path(root))
    return evaluate(workspace, loader.load(workspace, "sine"))


@pytest.mark.slow
def test_a_real_task_is_evaluated_both_ways(tmp_path: Path) -> None:
    """The report has metrics and gains of walking forward, errors by step, and the files that plots are drawn from."""
    workspace, _ = _prepared(tmp_path)
    train_tasks(workspace, "sine")
    first, second = (run_in_process(_evaluate, str(workspace.root)) for _ in range(2))
    assert first == second
    walk, rolled = first["walk_forward"], first["rollout"]
    assert (walk["every"], walk["trainings"]) == (4, 8)
    assert walk["metrics"].keys() == first["metrics"].keys()
    assert walk["over_baseline"]["old"] == pytest.approx(first["baseline"]["rmse"])
    assert walk["over_model"]["old"] == pytest.approx(first["metrics"]["rmse"])
    assert 0.3 < walk["metrics"]["rmse"] < 3  # the series lies between -1 and 3
    assert [record["step"] for record in rolled["by_step"]] == [1, 2, 3, 4, 5, 6]
    folder = workspace.out("sine", "evaluate") / "plots"
    with (folder / "walk_forward.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == first["rows"]["test"] == 32
    forecast, actual = (np.array([float(row[name]) for row in rows]) for name in ("forecast", "actual"))
    assert walk["metrics"]["rmse"] == pytest.approx(np.sqrt(np.mean((forecast - actual) ** 2)), rel=1e-6)
    assert (folder / "rollout.csv").is_file()
    assert (folder / "rollout_paths.csv").is_file()
