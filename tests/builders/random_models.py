"""The pipeline with random weights in place of training: real data, split and encoder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from workspaces import fetch_raw

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.modeling.inference.drift_reference import reference
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.preparation.array_file import read_part, read_truth
from tiltyard.preparation.prepare import prepare
from tiltyard.preparation.sealed_test import TestRows, read_test
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.golden_rows import choose_golden_rows
from tiltyard.serving.packaging.model_card import card
from tiltyard.serving.packaging.package import schema
from tiltyard.workspace import Workspace

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
TASKS = ("iris", "diabetes", "digits", "sine")


def write_evaluated(space: Workspace, name: str, seed: int = 0) -> Task:
    """Write the outputs of fetch, prepare, train and evaluate."""
    task = loader.load(space, name)
    if not space.raw(name).exists():
        fetch_raw(space, name)
        prepare(space, task)
    test, train = read_test(space, task.name, task.columns), space.out(name, "train")
    train.mkdir(parents=True, exist_ok=True)
    shutil.copy(space.out(name, "prepare") / "encoder.json", train)
    training = {"epochs": 1, "best_epoch": 1, "seed": seed, "parameters": 1, "history": {}}
    files.write_json(train / "training.json", training)
    write_model(task, test, train, seed)
    _evaluate(space, task, test)
    return task


def write_model(task: Task, test: TestRows, train: Path, seed: int) -> None:
    """Write an ONNX file: one dense layer on the flattened features, with softmax for classes, or sigmoids."""
    from onnx import TensorProto, helper, save

    shape = Encoder.load(train / "encoder.json").encode(test.rows).shape[1:]
    width, units = int(np.prod(shape)), len(task.labels) or len(task.target.names)
    activation = "Softmax" if task.classes else "Sigmoid" if task.labels else "Identity"
    weights = np.random.default_rng(seed).uniform(size=(width, units)) / np.sqrt(width)
    weights = (weights - 0.5) / 20 if activation == "Sigmoid" else weights  # so that probabilities differ
    nodes = [helper.make_node("Flatten", ["features"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["dense"])]
    nodes.append(helper.make_node(activation, ["dense"], ["output"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, units])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel().tolist())],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), train / "model.onnx")


def _evaluate(space: Workspace, task: Task, test: TestRows) -> None:
    """Write the report and the predictions of the random model."""
    folder = space.out(task.name, "evaluate")
    folder.mkdir(parents=True, exist_ok=True)
    facts = files.read_json(space.out(task.name, "prepare") / "split.json")
    outputs = Predictor.load(space.out(task.name, "train")).outputs(test.rows)
    context = task.evaluator.context(read_truth(space.out(task.name, "prepare") / "train.npz"))
    scores = task.evaluator.scores(test.truth, outputs, context)
    report = {
        "task": task.name,
        "version": version(space.out(task.name, "train")),
        "problem": task.problem,
        "data": facts["data"],
        "test": facts["test"],
        "rows": facts["rows"],
        "metric": task.gate.metric,
        "metrics": scores,
        "intervals": {task.gate.metric: [scores[task.gate.metric]] * 2},
        "baseline": scores,
        "train": scores,
    }
    files.write_json(folder / "report.json", report)
    np.savez_compressed(
        folder / "predictions.npz", truth=test.truth, outputs=outputs, baseline=outputs, number=test.number
    )


def write_package(space: Workspace, task: Task) -> Path:
    """Write the package folder that the service reads, without its Bento."""
    train = space.out(task.name, "train")
    report: dict[str, Any] = files.read_json(space.out(task.name, "evaluate") / "report.json")
    folder = space.package(task.name, report["version"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("model.onnx", "encoder.json"):
        shutil.copy(train / name, folder)
    encoder = Predictor.load(train).encoder
    files.write_json(folder / "schema.json", schema(task, encoder, report))
    features, _ = read_part(space.out(task.name, "prepare") / "train.npz")
    files.write_json(folder / "reference.json", reference(encoder, features))
    with np.load(space.out(task.name, "evaluate") / "predictions.npz") as arrays:
        rows = choose_golden_rows(Predictor.load(train), read_test(space, task.name, task.columns), arrays["outputs"])
    files.write_json(folder / "golden.json", rows)
    training: dict[str, Any] = files.read_json(train / "training.json")
    files.write_text(folder / "card.md", card(task, report, training, {}))
    return folder


def write_champion(space: Workspace, task: Task) -> Path:
    """Write a package and make it the champion, as promotion does."""
    folder = write_package(space, task)
    files.write_json(folder / "proven.json", {})
    set_champion(space, folder.name, task.name)
    return folder


def set_champion(space: Workspace, version: str, name: str = "iris") -> None:
    """Point to a version as champion, as promotion and rollback do."""
    registry = Registry(space)
    with registry.lock(name):
        registry.promote(Decision(task=name, verdict="PROMOTE", version=version, reasons=["a test"]))
