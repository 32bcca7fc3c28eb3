"""One spelling for an ONNX graph: tf2onnx names and orders it otherwise in every process, and a version is a hash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def rewrite(path: Path) -> None:
    """Rename and reorder what is inside by what leads to the outputs, so that equal models are equal files."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return  # a loop's body sees names from outside; such a model keeps the names it has
    order = _order(graph)
    weights = {weight.name: weight for weight in graph.initializer}
    names = _names(graph, order, set(weights))
    for place, node in enumerate(order):
        node.name, node.doc_string = f"{node.op_type}_{place}", ""
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    kept = [weights[name] for name in names if name in weights]
    for weight in kept:
        weight.name = names[weight.name]
    _replace(graph.node, order)
    _replace(graph.initializer, kept)
    del graph.value_info[:]
    graph.name, graph.doc_string = "model", ""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _order(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Give the nodes that the outputs need, each behind those that it needs itself."""
    makers = {name: node for node in graph.node for name in node.output}
    order: list[onnx.NodeProto] = []
    seen: set[str] = set()
    todo = [(makers[value.name], False) for value in reversed(graph.output) if value.name in makers]
    while todo:
        node, ready = todo.pop()
        if ready:
            order.append(node)
        elif node.output[0] not in seen:
            seen.add(node.output[0])
            todo.append((node, True))
            todo.extend((makers[name], False) for name in reversed(node.input) if name in makers)
    return order


def _names(graph: onnx.GraphProto, order: list[onnx.NodeProto], weights: set[str]) -> dict[str, str]:
    """Number weights and values in the order in which they are met; inputs and outputs keep their names."""
    public = {value.name for value in (*graph.input, *graph.output)} | {""}
    names: dict[str, str] = {}
    for node in order:
        for name in (*node.input, *node.output):
            if name not in public and name not in names:
                names[name] = f"{'weight' if name in weights else 'value'}_{len(names)}"
    return names


def _replace(field: Any, items: Sequence[Any]) -> None:
    """Put copies of `items` in the place of a repeated field's content."""
    copies = [type(item).FromString(item.SerializeToString()) for item in items]
    del field[:]
    field.extend(copies)
