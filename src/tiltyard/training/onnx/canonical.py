"""Canonical form of an ONNX graph: tf2onnx names and orders nodes differently in each process; versions are hashes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard.training.onnx.loops import arrange, bodies, needs, ordered

if TYPE_CHECKING:
    import onnx


def rewrite(path: Path) -> None:
    """Rename and reorder nodes by how they lead to the outputs, so that equal models give equal files."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    arrange(graph, {value.name: b"given" for value in graph.input})
    public = {value.name: value.name for value in (*graph.input, *graph.output)}
    _rename(graph, {"": "", **public}, count())
    graph.name = "model"
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def mark(path: Path, **facts: str) -> None:
    """Write facts into the metadata of a file, which its version then covers."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {**{one.key: one.value for one in model.metadata_props}, **facts})
    onnx.save(model, path)


def _rename(graph: onnx.GraphProto, outer_names: dict[str, str], numbers: Iterator[int]) -> None:
    """Order the nodes and number the values, also in loop bodies, which use outer names."""
    order = ordered(graph)
    weights = {weight.name: weight for weight in graph.initializer}
    names = dict(outer_names)
    for place, node in enumerate(order):
        for name in (*needs(node), *node.output):
            if name not in names:
                names[name] = f"{'weight' if name in weights else 'value'}_{next(numbers)}"
        node.name, node.doc_string = f"{node.op_type}_{place}", ""
        if not node.domain:  # explicit or not, it is the default; of two equal nodes, tf2onnx keeps either
            node.ClearField("domain")
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        for body in bodies(node):
            _rename_body(body, names, numbers)
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    used_weights = [weights[name] for name in names if name in weights]
    for weight in used_weights:
        weight.name = names[weight.name]
    _replace(graph.node, order)
    _replace(graph.initializer, used_weights)
    del graph.value_info[:]
    graph.doc_string = ""


def _rename_body(body: onnx.GraphProto, outer_names: dict[str, str], numbers: Iterator[int]) -> None:
    """Canonicalise the body of a loop: number its inputs, and drop the names of dimensions."""
    input_names = {value.name: f"value_{next(numbers)}" for value in body.input}
    _rename(body, outer_names | input_names, numbers)
    body.name = "body"
    for value in (*body.input, *body.output):
        for size in value.type.tensor_type.shape.dim:
            size.ClearField("dim_param")


def _replace(field: Any, items: Sequence[Any]) -> None:
    """Replace the content of a repeated field by copies of `items`."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
