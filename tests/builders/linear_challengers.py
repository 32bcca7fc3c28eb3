"""Challengers of known quality without training: closed-form linear models on real data, written as ONNX."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from workspaces import fetch_raw, new_workspace

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation import evaluate
from tiltyard.evaluation.evaluated import Evaluated
from tiltyard.modeling.inference.predictor import version
from tiltyard.preparation import array_file, prepare
from tiltyard.workspace import Workspace

Project = tuple[Workspace, Task]
# features of iris that a challenger uses: none, the width of sepals, or all
FEATURES = {"blind": slice(0), "weak": slice(1, 2), "good": slice(4)}
HISTORY = {"loss": [1.0, 0.5, 0.4], "val_loss": [1.1, 0.6, 0.7]}


def prepared_project(root: Path, name: str) -> tuple[Workspace, Task]:
    """Create a workspace in which one task is prepared."""
    workspace = new_workspace(root)
    return workspace, prepare_task(workspace, name)


def prepare_task(workspace: Workspace, name: str) -> Task:
    """Fetch and prepare a task in a workspace."""
    fetch_raw(workspace, name)
    task = loader.load(workspace, name)
    prepare.prepare(workspace, task)
    return task


def write_challenger(workspace: Workspace, task: Task, feature_columns: slice) -> str:
    """Write the outputs of train and evaluate for a model of some features; return its version."""
    train = workspace.out(task.name, "train")
    features, truth = array_file.read_part(workspace.out(task.name, "prepare") / "train.npz")
    weights, bias = fit_linear(features[:, feature_columns].astype(np.float64), truth, len(task.classes))
    padded = np.zeros((features.shape[1], weights.shape[1]))
    padded[feature_columns] = weights
    train.mkdir(parents=True, exist_ok=True)
    write_linear(train / "model.onnx", padded, bias, softmax=bool(task.classes))
    shutil.copy(workspace.out(task.name, "prepare") / "encoder.json", train)
    training = {"epochs": 3, "best_epoch": 2, "stopped_early": False, "parameters": padded.size, "seed": 0}
    files.write_json(train / "training.json", {**training, "history": HISTORY})
    evaluate.evaluate(workspace, task)
    return version(train)


def fit_linear(features: Array, truth: Array, classes: int) -> tuple[Array, Array]:
    """Fit least squares for regression, linear discriminants for classification."""
    if not classes:
        solution = np.linalg.lstsq(np.hstack([features, np.ones((len(features), 1))]), truth, rcond=None)[0]
        return solution[:-1, None], solution[-1:]
    means = np.array([features[truth == label].mean(axis=0) for label in range(classes)])
    inverse = np.linalg.inv(np.atleast_2d(np.cov((features - means[truth]).T)))
    return inverse @ means.T, -np.einsum("cf,fg,cg->c", means, inverse, means) / 2


def write_linear(path: Path, weights: Array, bias: Array, *, softmax: bool) -> None:
    """Write features @ weights + bias as an ONNX file."""
    from onnx import TensorProto, helper, save

    width, units = weights.shape
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w"], ["product"]),
            helper.make_node("Add", ["product", "b"], ["sum"]),
            helper.make_node("Softmax" if softmax else "Identity", ["sum"], ["output"]),
        ],
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, units])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel().tolist()),
            helper.make_tensor("b", TensorProto.FLOAT, bias.shape, bias.ravel().tolist()),
        ],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def quick_package(workspace: Workspace, task: Task, *_: Evaluated | None, **__: object) -> str:
    """Write the files of a package that the gate needs, without building a Bento."""
    name = version(workspace.out(task.name, "train"))
    with files.atomic_folder(workspace.package(task.name, name)) as folder:
        for file in ("model.onnx", "encoder.json"):
            shutil.copy(workspace.out(task.name, "train") / file, folder)
    return name


def prepare_challengers(root: Path) -> Path:
    """Prepare iris, and save the outputs of challengers of known quality in separate folders."""
    workspace, task = prepared_project(root, "iris")
    for name, feature_columns in FEATURES.items():
        write_challenger(workspace, task, feature_columns)
        for verb in ("train", "evaluate"):
            shutil.copytree(workspace.out("iris", verb), workspace.root / "stable" / name / verb)
    return root


def copy_challengers(prepared_root: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Copy such a project outside git, and patch out the slow parts: packaging, reference, measuring memory."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(root.parent))
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    monkeypatch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
    monkeypatch.setattr(
        "tiltyard.gate.duel_setup._memory_mb", lambda _: 80.0
    )  # a process each time; tests/registry/test_verify.py has it
    shutil.copytree(prepared_root, root)
    workspace = Workspace(root)
    return workspace, loader.load(workspace, "iris")


def use_challenger(workspace: Workspace, name: str) -> str:
    """Copy the saved outputs of one challenger into place; return its version."""
    for verb in ("train", "evaluate"):
        shutil.copytree(workspace.root / "stable" / name / verb, workspace.out("iris", verb), dirs_exist_ok=True)
    return version(workspace.out("iris", "train"))
