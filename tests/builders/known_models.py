"""Hand-made ONNX models that use known features only, and a run of each explanation method."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.explain.explain import load_model
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.workspace import Workspace

Nodes = list[tuple[str, list[str], dict[str, Any]]]  # operation, names of constants behind its input, attributes


def made(space: Workspace, task: Task, nodes: Nodes, constants: dict[str, Array]) -> ExplainedModel:
    """Write a chain of operations as the trained model of a task that is prepared, and open it."""
    from onnx import TensorProto, helper, numpy_helper, save

    folder = space.out(task.name, "train")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(space.out(task.name, "prepare") / "encoder.json", folder)
    wires = ["features", *(f"w{place}" for place in range(len(nodes) - 1)), "output"]
    chain = [
        helper.make_node(kind, [wires[place], *names], [wires[place + 1]], **more)
        for place, (kind, names, more) in enumerate(nodes)
    ]
    graph = helper.make_graph(
        chain,
        "made",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, *_shape(space, task)])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
    return load_model(space, task)


def _shape(space: Workspace, task: Task) -> tuple[int, ...]:
    from tiltyard.preparation.sealed_test import read_test

    rows = read_test(space, task.name, task.columns).rows
    features = Encoder.load(space.out(task.name, "prepare") / "encoder.json").encode(rows)
    return tuple(features.shape[1:])


def linear(space: Workspace, task: Task, weights: Array, end: str = "Identity") -> ExplainedModel:
    """Make a model that multiplies flat features by weights (width, units)."""
    nodes: Nodes = [("Flatten", [], {}), ("MatMul", ["weights"], {}), (end, [], {})]
    return made(space, task, nodes, {"weights": weights.astype(np.float32)})


def spotting(space: Workspace, task: Task, word: str) -> ExplainedModel:
    """Make a model of texts that holds the second label for likely if a word is there, and looks at nothing else."""
    fitted = Encoder.load(space.out(task.name, "prepare") / "encoder.json").fitted
    (ids,) = (one["ids"] for one in fitted.values())
    nodes: Nodes = [
        ("Equal", ["id"], {}),
        ("Cast", [], {"to": 1}),
        ("ReduceMax", [], {"axes": [1], "keepdims": 1}),
        ("Mul", ["four"], {}),
        ("Sub", ["two"], {}),
        ("Sigmoid", [], {}),
    ]
    constants = {"id": np.float32(ids[word]), "four": np.float32(4), "two": np.float32(2)}
    return made(space, task, nodes, {name: np.asarray(value, dtype=np.float32) for name, value in constants.items()})


def bars(exhibit: Figure) -> dict[str, float]:
    """Return bars by their names."""
    assert exhibit.kind == "bars"
    return {bar["name"]: bar["value"] for bar in exhibit.data["bars"]}


def tried(root: str, task: str, way: str) -> tuple[str, list[str]]:
    """Look at a trained model in one way, twice: give the reason why not, and what was seen, as JSON."""
    seen = [_once(Workspace(Path(root)), task, way) for _ in range(2)]
    return seen[0][0], [json.dumps(exhibits, allow_nan=False) for _, exhibits in seen]


def _once(space: Workspace, task: str, way: str) -> tuple[str, list[dict[str, Any]]]:
    model = load_model(space, loader.load(space, task))
    made: ExplanationMethod = plugins.load("explanations", way)()
    if reason := made.unsupported_reason(model):
        return reason, []
    return "", [asdict(one) for one in (*made.of_model(model), *made.of_row(model, model.row(0)))]
