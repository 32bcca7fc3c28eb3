"""Loops in an ONNX graph: put their variables in canonical order; tf2onnx orders them at random."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

Digests = dict[str, bytes]  # a digest of how each value is computed, by name


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the subgraphs of a node."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def needs(node: onnx.NodeProto) -> list[str]:
    """Return the names that a node reads: its inputs, and the outer values used in its subgraphs."""
    return [*node.input, *(name for body in bodies(node) for name in _outer_names(body))]


def _outer_names(body: onnx.GraphProto) -> list[str]:
    local = {value.name for value in (*body.input, *body.initializer)}
    local |= {name for node in body.node for name in node.output}
    used = [name for node in ordered(body) for name in needs(node)] + [value.name for value in body.output]
    return [name for name in dict.fromkeys(used) if name not in local]


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs need, in topological order."""
    makers = {name: node for node in graph.node for name in node.output}
    order: list[onnx.NodeProto] = []
    visited: set[str] = set()
    todo = [(makers[value.name], False) for value in reversed(graph.output) if value.name in makers]
    while todo:
        node, ready = todo.pop()
        if ready:
            order.append(node)
        elif node.output[0] not in visited:
            visited.add(node.output[0])
            todo.append((node, True))
            todo.extend((makers[name], False) for name in reversed(needs(node)) if name in makers)
    return order


def arrange(graph: onnx.GraphProto, inputs: Digests) -> Digests:
    """Order the variables of every loop by their digests; return the digest of every value."""
    digests: Digests = {"": b"", **inputs}
    for weight in graph.initializer:
        digests[weight.name] = _digest(weight.data_type, [*weight.dims], weight.raw_data, weight.int64_data[:])
    for node in ordered(graph):
        if node.op_type == "Loop":
            digests |= _arrange_loop(node, digests)
            continue
        options = sorted(_plain(option) for option in node.attribute if not option.HasField("g"))
        input_digests = [digests[name] for name in needs(node)]
        digests |= {
            name: _digest(node.op_type, options, input_digests, place) for place, name in enumerate(node.output)
        }
    return digests


def _arrange_loop(node: onnx.NodeProto, digests: Digests) -> Digests:
    """Sort loop variables by initial value and update, refining as often as there are variables."""
    (body,) = bodies(node)
    _separate_outputs(body)
    carried = len(node.input) - 2  # after trip count and condition
    node.output.extend([""] * (carried - len(node.output)))
    variable_digests = [digests[name] for name in node.input[2:]]
    body_digests: Digests = {}
    for _ in range(carried + 1):
        inputs = {
            value.name: digest for value, digest in zip(body.input, [b"turn", b"on", *variable_digests], strict=True)
        }
        body_digests = arrange(body, digests | inputs)
        variable_digests = [
            _digest(digest, body_digests[value.name])
            for digest, value in zip(variable_digests, body.output[1:], strict=False)
        ]
    order = sorted(range(carried), key=variable_digests.__getitem__)
    for field, start in ((node.input, 2), (node.output, 0), (body.input, 2), (body.output, 1)):
        _permute(field, start, order)
    scan_outputs = [body_digests[value.name] for value in body.output[1 + carried :]]  # scan outputs
    return dict(zip(node.output, [variable_digests[place] for place in order] + scan_outputs, strict=True))


def _separate_outputs(body: onnx.GraphProto) -> None:
    """Give each output one Identity node: tf2onnx adds one at random where two outputs have the same name."""
    aliases = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Identity"}
    nodes = [node for node in body.node if node.op_type != "Identity"]
    if any(bodies(node) for node in nodes):
        return  # an inner loop would still use the old names
    for node in nodes:
        node.input[:] = [_origin(name, aliases) for name in node.input]
    origins = [_origin(value.name, aliases) for value in body.output]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del body.node[:]
    body.node.extend(copies)
    for place, (value, origin) in enumerate(zip(body.output, origins, strict=True)):
        value.name = f"end_{place}"
        body.node.add(op_type="Identity", input=[origin], output=[value.name])


def _origin(name: str, aliases: dict[str, str]) -> str:
    while name in aliases:
        name = aliases[name]
    return name


def _permute(field: Any, start: int, order: list[int]) -> None:
    items = [field[start + place] for place in order]
    remaining = [*field[start + len(order) :]]
    copies = [
        item if isinstance(item, str) else type(item).FromString(item.SerializeToString())
        for item in [*items, *remaining]
    ]
    del field[start:]
    field.extend(copies)


def _plain(option: onnx.AttributeProto) -> bytes:
    """Return the content of an attribute without tensor names."""
    copy = type(option).FromString(option.SerializeToString())
    copy.t.ClearField("name")
    serialized: bytes = copy.SerializeToString(deterministic=True)
    return serialized


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()
