"""Loops in an ONNX graph: put their variables in canonical order; tf2onnx orders them at random."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

Marks = dict[str, bytes]  # a digest of how each value is computed, by name


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the subgraphs of a node."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def needs(node: onnx.NodeProto) -> list[str]:
    """Return the names that a node reads: its inputs, and the outer values used in its subgraphs."""
    return [*node.input, *(name for body in bodies(node) for name in _outer_names(body))]


def _outer_names(body: onnx.GraphProto) -> list[str]:
    own = {value.name for value in (*body.input, *body.initializer)}
    own |= {name for node in body.node for name in node.output}
    read = [name for node in ordered(body) for name in needs(node)] + [value.name for value in body.output]
    return [name for name in dict.fromkeys(read) if name not in own]


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs need, in topological order."""
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
            todo.extend((makers[name], False) for name in reversed(needs(node)) if name in makers)
    return order


def arrange(graph: onnx.GraphProto, given: Marks) -> Marks:
    """Order the variables of every loop by their digests; return the digest of every value."""
    marks: Marks = {"": b"", **given}
    for weight in graph.initializer:
        marks[weight.name] = _mark(weight.data_type, [*weight.dims], weight.raw_data, weight.int64_data[:])
    for node in ordered(graph):
        if node.op_type == "Loop":
            marks |= _arrange_loop(node, marks)
            continue
        options = sorted(_plain(option) for option in node.attribute if not option.HasField("g"))
        read = [marks[name] for name in needs(node)]
        marks |= {name: _mark(node.op_type, options, read, place) for place, name in enumerate(node.output)}
    return marks


def _arrange_loop(node: onnx.NodeProto, marks: Marks) -> Marks:
    """Sort loop variables by initial value and update, refining as often as there are variables."""
    (body,) = bodies(node)
    _straighten(body)
    carried = len(node.input) - 2  # after trip count and condition
    node.output.extend([""] * (carried - len(node.output)))
    own = [marks[name] for name in node.input[2:]]
    made: Marks = {}
    for _ in range(carried + 1):
        given = {value.name: mark for value, mark in zip(body.input, [b"turn", b"on", *own], strict=True)}
        made = arrange(body, marks | given)
        own = [_mark(mark, made[value.name]) for mark, value in zip(own, body.output[1:], strict=False)]
    order = sorted(range(carried), key=own.__getitem__)
    for field, start in ((node.input, 2), (node.output, 0), (body.input, 2), (body.output, 1)):
        _permute(field, start, order)
    whole = [made[value.name] for value in body.output[1 + carried :]]  # scan outputs
    return dict(zip(node.output, [own[place] for place in order] + whole, strict=True))


def _straighten(body: onnx.GraphProto) -> None:
    """Give each output one Identity node: tf2onnx adds one at random where two outputs have the same name."""
    same = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Identity"}
    kept = [node for node in body.node if node.op_type != "Identity"]
    if any(bodies(node) for node in kept):
        return  # an inner loop would still use the old names
    for node in kept:
        node.input[:] = [_origin(name, same) for name in node.input]
    origins = [_origin(value.name, same) for value in body.output]
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del body.node[:]
    body.node.extend(copies)
    for place, (value, origin) in enumerate(zip(body.output, origins, strict=True)):
        value.name = f"end_{place}"
        body.node.add(op_type="Identity", input=[origin], output=[value.name])


def _origin(name: str, same: dict[str, str]) -> str:
    while name in same:
        name = same[name]
    return name


def _permute(field: Any, start: int, order: list[int]) -> None:
    items = [field[start + place] for place in order]
    rest = [*field[start + len(order) :]]
    copies = [
        item if isinstance(item, str) else type(item).FromString(item.SerializeToString()) for item in [*items, *rest]
    ]
    del field[start:]
    field.extend(copies)


def _plain(option: onnx.AttributeProto) -> bytes:
    """Return the content of an attribute without tensor names."""
    copy = type(option).FromString(option.SerializeToString())
    copy.t.ClearField("name")
    serialized: bytes = copy.SerializeToString(deterministic=True)
    return serialized


def _mark(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()
