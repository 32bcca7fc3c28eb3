"""Hand-made ONNX models with known explanations, and a run of each explanation method on them."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.explain.explain import load_model
from tiltyard.explain.methods.base import ExplainedModel
from tiltyard.figures import Figure
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.workspace import Workspace

Nodes = list[tuple[str, list[str], dict[str, Any]]]  # operation, names of constants after its input, attributes


def write_model(space: Workspace, task: Task, nodes: Nodes, constants: dict[str, Array]) -> ExplainedModel:
    """Write a chain of operations as the trained model of a prepared task, and open it."""
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
        "chain",
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


def linear_model(space: Workspace, task: Task, weights: Array, end: str = "Identity") -> ExplainedModel:
    """Write a model that multiplies flattened features by weights (width, units)."""
    nodes: Nodes = [("Flatten", [], {}), ("MatMul", ["weights"], {}), (end, [], {})]
    return write_model(space, task, nodes, {"weights": weights.astype(np.float32)})


def keyword_model(space: Workspace, task: Task, word: str) -> ExplainedModel:
    """Write a text model that predicts the second label if and only if a word occurs."""
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
    return write_model(
        space, task, nodes, {name: np.asarray(value, dtype=np.float32) for name, value in constants.items()}
    )


def bar_values(exhibit: Figure) -> dict[str, float]:
    """Return the values of bars by name."""
    assert exhibit.kind == "bars"
    return {bar["name"]: bar["value"] for bar in exhibit.data["bars"]}
