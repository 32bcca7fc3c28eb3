"""Evaluation: the exported model on the sealed rows, metrics with baselines, and reproducible bytes."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from linear_challengers import fit_linear, prepared_project, write_challenger, write_linear

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError, RegistryError, SealError, TrainingError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import version
from tiltyard.preparation import array_file, sealed_test
from tiltyard.report.report import task_page
from tiltyard.serving.packaging.model_card import card, empty
from tiltyard.workspace import Workspace

Project = tuple[Workspace, Task]
OUTPUT_FILES = {"report.json", "predictions.npz", "plots"}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Diabetes with a linear model, evaluated; read-only."""
    workspace, task = prepared_project(tmp_path_factory.mktemp("measured"), "diabetes")
    write_challenger(workspace, task, slice(None))
    return workspace, task


@pytest.fixture
def diabetes(evaluated: Project, tmp_path: Path) -> Project:
    """A copy of the project for one test."""
    shutil.copytree(evaluated[0].root, tmp_path / "arena")
    return Workspace(tmp_path / "arena"), evaluated[1]


def predictions(workspace: Workspace, name: str) -> dict[str, Array]:
    """Read the stored predictions."""
    with np.load(workspace.out(name, "evaluate") / "predictions.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read one of the plots."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_match_the_model_on_the_sealed_rows(evaluated: Project) -> None:
    """RMSE and R2 of the report equal those of closed-form predictions on the test rows."""
    workspace, task = evaluated
    features, truth = array_file.read_part(workspace.out("diabetes", "prepare") / "train.npz")
    weights, bias = fit_linear(features.astype(np.float64), truth, 0)
    test = sealed_test.read_test(workspace, task.name, task.columns)
    encoder = Encoder.load(workspace.out("diabetes", "train") / "encoder.json")
    error = encoder.encode(test.rows) @ weights[:, 0] + bias - test.truth
    content = files.read_json(workspace.out("diabetes", "evaluate") / "report.json")
    assert content["metrics"]["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert content["metrics"]["r2"] == pytest.approx(1 - (error**2).mean() / test.truth.var(), rel=1e-4)
    assert content["baseline"]["mae"] == pytest.approx(np.abs(test.truth - truth.mean()).mean())
    assert content["version"] == version(workspace.out("diabetes", "train"))
    assert content["test"] == test.digest


def test_each_metric_lies_in_its_interval(evaluated: Project) -> None:
    """Every metric is reported for the test rows, the baseline, the training rows, and with an interval."""
    content = files.read_json(evaluated[0].out("diabetes", "evaluate") / "report.json")
    names = content["metrics"].keys()
    assert names == content["baseline"].keys() == content["train"].keys() == content["intervals"].keys()
    for name, (low, high) in content["intervals"].items():
        assert low < content["metrics"][name] < high


def test_second_evaluation_gives_the_same_bytes(diabetes: Project) -> None:
    """Plots are included; no file contains a time or a duration."""
    workspace, task = diabetes
    folder = workspace.out("diabetes", "evaluate")
    before = files.sha256(folder)
    evaluate(workspace, task)
    assert files.sha256(folder) == before
    assert {path.name for path in folder.iterdir()} == OUTPUT_FILES


def test_failure_keeps_the_old_evaluation(diabetes: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """No partial folder is left next to it."""
    workspace, task = diabetes
    folder = workspace.out("diabetes", "evaluate")
    before = files.sha256(folder)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tiltyard.evaluation.evaluate.write_plots", fail)
    with pytest.raises(KeyboardInterrupt):
        evaluate(workspace, task)
    assert files.sha256(folder) == before
    assert {path.name for path in folder.parent.iterdir()} == {"prepare", "train", "evaluate"}


def test_non_finite_predictions_are_rejected(diabetes: Project) -> None:
    """The error states how many test rows have NaN or infinity."""
    workspace, task = diabetes
    write_linear(
        workspace.out("diabetes", "train") / "model.onnx", np.full((11, 1), np.inf), np.zeros(1), softmax=False
    )
    with pytest.raises(TrainingError, match="gives NaN or infinity on 88 of 88 rows; expected none"):
        evaluate(workspace, task)


def test_missing_model_is_rejected(diabetes: Project) -> None:
    """The hint gives the command that trains one."""
    workspace, task = diabetes
    shutil.rmtree(workspace.out("diabetes", "train"))
    with pytest.raises(RegistryError, match=r"expected model\.onnx") as caught:
        evaluate(workspace, task)
    assert "tiltyard train" in caught.value.hint


def test_missing_test_rows_are_rejected(diabetes: Project) -> None:
    """The error says that there are no test rows."""
    workspace, task = diabetes
    shutil.rmtree(workspace.out("diabetes", "prepare"))
    with pytest.raises(DataError, match="no test rows of diabetes"):
        evaluate(workspace, task)


def test_changed_test_rows_are_rejected(diabetes: Project) -> None:
    """Only the sealed test rows are evaluated."""
    workspace, task = diabetes
    path = workspace.out("diabetes", "prepare") / "test.npz"
    with np.load(path) as arrays:
        changed = {**arrays, "truth": arrays["truth"] + 1}
    np.savez_compressed(path, **changed)
    with pytest.raises(SealError, match="the test rows of diabetes were changed"):
        evaluate(workspace, task)


def test_residual_plot_matches_the_predictions(evaluated: Project) -> None:
    """The CSV for DVC has one line per test row."""
    workspace, _ = evaluated
    rows = read_csv(workspace.out("diabetes", "evaluate") / "plots" / "residuals.csv")
    stored = predictions(workspace, "diabetes")
    assert [float(row["residual"]) for row in rows] == pytest.approx(stored["outputs"][:, 0] - stored["truth"])


@pytest.mark.slow
def test_every_task_can_be_evaluated(trained_project: Workspace) -> None:
    """All files exist, all numbers are finite, and each problem has its own details."""
    extra = {
        "classification": {"confusion", "per_class", "worst"},
        "regression": {"worst", "best"},
        "forecasting": {"worst", "best"},
    }
    for name in trained_project.tasks():
        task = loader.load(trained_project, name)
        content = evaluate(trained_project, task)
        folder = trained_project.out(name, "evaluate")
        json.dumps(content, allow_nan=False)
        assert content == files.read_json(folder / "report.json")
        assert {path.name for path in folder.iterdir()} == OUTPUT_FILES
        assert extra[task.problem] <= content.keys()
        assert len(predictions(trained_project, name)["number"]) == content["rows"]["test"]
        assert (folder / "plots" / "learning.csv") in (folder / "plots").iterdir()
        assert len(read_csv(folder / "plots" / "learning.csv")) == 3


@pytest.mark.slow
def test_confusion_matrix_counts_every_row(trained_project: Workspace) -> None:
    """The matrix, the table by class and the CSV for DVC agree."""
    content = evaluate(trained_project, loader.load(trained_project, "digits"))
    matrix = np.array(content["confusion"])
    rows = read_csv(trained_project.out("digits", "evaluate") / "plots" / "confusion.csv")
    assert matrix.sum() == len(rows) == content["rows"]["test"]
    assert [line["rows"] for line in content["per_class"]] == matrix.sum(axis=1).tolist()
    assert sum(row["actual"] == row["predicted"] for row in rows) == np.trace(matrix)
    assert content["metrics"]["accuracy"] == np.trace(matrix) / matrix.sum()


def test_slices_are_evaluated_and_shown(diabetes: Project) -> None:
    """Slices appear in report, page and model card; without slices, the card says that there are none."""
    workspace, task = diabetes
    with_slices = task.model_copy(update={"gate": task.gate.model_copy(update={"slices": ["sex"]})})
    found = evaluate(workspace, with_slices)
    assert [one["slice"] for one in found["slices"]] == ["sex 1", "sex 2"]
    assert sum(one["rows"] for one in found["slices"]) == found["rows"]["test"]
    assert "<h2>By slice</h2>" in task_page(workspace, with_slices)
    training = {"epochs": 1, "best_epoch": 1, "seed": 0, "parameters": 1}
    device = {"seconds": 7.0, "processor_seconds": 36.0, "backend": "tensorflow", "device": "cpu"}
    text = card(with_slices, found, training, device)
    assert f"| sex 2 | {found['slices'][1]['rows']} |" in text
    assert "Trained in 7 s (tensorflow on cpu) with 36 s of processor time: about 0.1 Wh" in text
    assert empty(text) == []
    assert empty(text.replace(text.partition("## Slices\n\n")[2].partition("\n\n## ")[0], "")) == ["Slices"]
    without = task.model_copy(update={"gate": task.gate.model_copy(update={"slices": []})})
    assert "The task names no slices" in card(without, evaluate(workspace, without), training, {})
