"""Families that compute their output layer: what is trained, evaluated and served is the solution."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT, edit_task, fetch_raw, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.explain.explain import ExplainRequest, explain
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.report.report import task_page
from tiltyard.workspace import Workspace

CLOSED = {"family": "linear"}
STEPWISE = {"family": "linear", "solver": "gradient_descent"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "closed": ("diabetes", {"model": CLOSED}),
    "stepwise": ("diabetes", {"model": STEPWISE, "train": {"epochs": 50, "learning_rate": 0.1}}),
    "logarithmic": ("diabetes", {"model": CLOSED, "target.log": True, "target.bounds": [0, 400]}),
    "steps_ahead": ("sine", {"model": CLOSED, "target.horizon": 3}),
    "differences": ("sine", {"model": CLOSED, "columns.value.relative": True}),
}


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project in which each case is trained; read-only."""
    workspace = new_workspace(tmp_path_factory.mktemp("solved"))
    for name, (base, changes) in CASES.items():
        shutil.copy(workspace.task_file(base), workspace.task_file(name))
        edit_task(workspace, name, changes)
        fetch_raw(workspace, name)
        prepare.prepare(workspace, loader.load(workspace, name))
    train_tasks(workspace, *CASES)
    return workspace


def record_of(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the record of a training."""
    record: dict[str, Any] = files.read_json(workspace.out(name, "train") / "training.json")
    return record


def fitted_by_numpy(workspace: Workspace, name: str, change: Any = lambda values: values) -> tuple[Array, Array]:
    """Return predictions for sealed rows by NumPy's least squares on the training rows, and the model's.

    A relative series is fitted to differences from its last value, which are then added to it.
    """
    features, truth = array_file.read_part(workspace.out(name, "prepare") / "train.npz")
    predictor, task = Predictor.load(workspace.out(name, "train")), loader.load(workspace, name)
    test = read_test(workspace, name, task.columns)

    relative = name == "differences"

    def last(values: Array) -> Array:
        return values.reshape(len(values), -1)[:, -1:].astype(np.float64) * relative

    def rows(values: Array) -> Array:
        flat = values.reshape(len(values), -1).astype(np.float64)
        return np.column_stack([np.ones(len(flat)), flat - last(values)])

    encoded = predictor.encoder.encode(test.rows)
    weights = np.linalg.lstsq(rows(features), change(truth.reshape(len(truth), -1)) - last(features))[0]
    return rows(encoded) @ weights + last(encoded), predictor.outputs(test.rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["closed", "steps_ahead", "differences"])
def test_served_model_is_that_of_least_squares(solved: Workspace, name: str) -> None:
    """Predictions of the ONNX model for new rows are those of NumPy, also several steps ahead and of differences."""
    expected, received = fitted_by_numpy(solved, name)
    np.testing.assert_allclose(received, expected, rtol=2e-4, atol=1e-3)


@pytest.mark.slow
def test_logarithm_is_fitted_and_undone(solved: Workspace) -> None:
    """The line is that of log(1 + target)."""
    expected, received = fitted_by_numpy(solved, "logarithmic", np.log1p)
    np.testing.assert_allclose(received, np.expm1(expected), rtol=2e-3)


@pytest.mark.slow
def test_record_has_what_a_report_shows(solved: Workspace) -> None:
    """Parameters, sums of squares that add up, the cost of each step, and how it was solved."""
    record = record_of(solved, "closed")
    sums = record["sums_of_squares"]
    assert record["parameters"] == 12  # ten columns, of which one is two features, and a bias
    assert record["epochs"] == 1
    assert sums["total"] == pytest.approx(sums["errors"] + sums["explained"], rel=1e-5)
    assert sums["r2"] == pytest.approx(sums["correlation"] ** 2, rel=1e-5)
    costs = record_of(solved, "stepwise")["history"]["loss"]
    assert len(costs) == 50
    assert costs == sorted(costs, reverse=True)
    rows = files.read_json(solved.out("stepwise", "prepare") / "split.json")["rows"]["train"]
    assert costs[0] == pytest.approx((rows - 1) / rows)  # z-scores with ddof=1, and weights of zero
    assert "sums_of_squares" not in record_of(solved, "steps_ahead")


@pytest.mark.slow
def test_report_says_how_it_was_solved(solved: Workspace, tmp_path: Path) -> None:
    """The page has the sums of squares; a network's words such as early stopping do not occur."""
    root = tmp_path / "project"
    shutil.copytree(solved.root, root)
    workspace = Workspace(root)
    task = loader.load(workspace, "closed")
    evaluate(workspace, task)
    page = task_page(workspace, task)
    assert "Solved in closed form, by least squares on the training rows." in page
    assert "Sums of squares on the training rows" in page
    assert "stopped early" not in page
    explained = run_in_process(explained_ways, str(root), "closed")
    assert {"permutation", "saliency"} <= {*explained}


def explained_ways(root: str, name: str) -> list[str]:
    """Return the methods that explain a model."""
    workspace = Workspace(Path(root))
    content = explain(workspace, loader.load(workspace, name), ExplainRequest(only=["permutation", "saliency"]))
    return [figure["way"] for figure in content["exhibits"]]


@pytest.mark.slow
def test_descent_that_diverges_ends_in_an_error(workspace: Workspace) -> None:
    """The error names the step and the rate, and no model is left."""
    edit_task(workspace, "diabetes", {"model": STEPWISE, "train": {"epochs": 2000, "learning_rate": 5}})
    fetch_raw(workspace, "diabetes")
    prepare.prepare(workspace, loader.load(workspace, "diabetes"))
    with pytest.raises(AssertionError, match=r"training diverged in step .*: expected a finite cost; received NaN"):
        train_tasks(workspace, "diabetes")
    assert not workspace.out("diabetes", "train").exists()


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("iris", {"model": CLOSED}, "model.output: expected softmax or sigmoid for classification; received linear"),
    ("diabetes", {"model": CLOSED, "train.folds": 3}, "train.folds: expected none for the family linear"),
    (
        "diabetes",
        {"model": CLOSED, "train.restarts": 3, "train.stop_at": {"loss": 1}},
        "train.restarts: expected none for the family linear, which Keras does not train; remove it",
    ),
    (
        "diabetes",
        {"model": {**CLOSED, "blend_references": True}},
        "model.blend_references: expected false for the family linear, which Keras does not train",
    ),
    ("iris", {"model": {"family": "rosenblatt"}}, "model.output: expected softmax for 3 classes; received sigmoid"),
    ("diabetes", {"model": {"family": "rosenblatt"}}, "model.output: expected linear or exponential for regression"),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED)
def test_settings_that_need_keras_or_fit_no_target_are_refused(
    workspace: Workspace, name: str, changes: dict[str, Any], message: str
) -> None:
    """The task file is refused before anything runs."""
    edit_task(workspace, name, changes)
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, name)


@pytest.mark.catalogue
@pytest.mark.parametrize("name", ["advertising", "stock_pair"])
def test_three_ways_find_the_same_line(tmp_path: Path, mirror: Path, name: str) -> None:
    """With enough steps gradient descent gives the closed form, and Dense(1) of Keras comes to its cost."""
    assert mirror.is_dir()
    closed = {"advertising": "advertising_least_squares", "stock_pair": "stock_pair"}[name]
    ways, outputs = (closed, f"{name}_gradient_descent", f"{name}_dense"), []
    workspace = new_workspace(tmp_path)
    for way in ways:
        shutil.copy(ROOT / "tasks" / f"{way}.yaml", workspace.task_file(way))
        edit_task(workspace, way, {"train.epochs": 1500 if way == ways[1] else 100})
        fetch_raw(workspace, way)
        task = loader.load(workspace, way)
        prepare.prepare(workspace, task)
        train_tasks(workspace, way)
        rows = read_test(workspace, way, task.columns).rows
        outputs.append(Predictor.load(workspace.out(way, "train")).outputs(rows)[:, 0])
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4)
    rows_of_training = files.read_json(workspace.out(closed, "prepare") / "split.json")["rows"]["train"]
    (cost,) = record_of(workspace, closed)["history"]["loss"]
    # Keras' targets have a deviation with ddof=0, and its loss is that of moving weights
    expected = cost * rows_of_training / (rows_of_training - 1)
    assert min(record_of(workspace, ways[2])["history"]["loss"]) == pytest.approx(expected, rel=0.02)
