"""The diagram of a network: layers as boxes in rows, branches side by side; large networks are folded.

Layers that change no shape and have one reader join the box before them. Equal blocks that follow one another are drawn
once. Of a network that is still too large, the middle is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tiltyard.files import Json

# Types that join the box of the layer that they read.
JOINED = (
    *("Activation", "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"),
    *("BatchNormalization", "LayerNormalization"),
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise"),
)
MAX_BOXES = 60  # of a diagram
KEPT_AT_END = 12  # boxes, if the middle is left out
MIN_HIDDEN = 3  # boxes of equal blocks that are drawn once
MAX_PERIOD = 4  # units that repeat together


@dataclass
class Box:
    """A box of the diagram: one or more layers, or a note about layers that are not drawn."""

    name: str
    text: str
    shape: str
    parameters: int
    inputs: list[str]
    layers: int = 1
    folded: bool = False  # whether it stands for layers that are not drawn
    row: int = 0
    column: float = 0.0


@dataclass
class Diagram:
    """Boxes and the lines between them; a line has the places of its ends and bends."""

    boxes: list[Box] = field(default_factory=list)
    lines: list[list[tuple[float, int]]] = field(default_factory=list)

    @property
    def data(self) -> Json:
        """The data of the figure."""
        boxes = [
            {"text": box.text, "shape": box.shape, "parameters": box.parameters, "row": box.row, "column": box.column}
            | ({"folded": True} if box.folded else {})
            for box in self.boxes
        ]
        return {"boxes": boxes, "lines": self.lines}


def diagram(layers: Sequence[Json]) -> Diagram:
    """Return the diagram of layers, of which each comes after those that it reads."""
    units = _without_middle(_folded(_units(_joined(layers))))
    return _placed([box for unit in units for box in unit])


def _joined(layers: Sequence[Json]) -> list[Box]:
    """Return a box for each layer; joined ones extend the box that they read."""
    readers = {name: sum(name in layer["inputs"] for layer in layers) for name in (layer["name"] for layer in layers)}
    boxes: dict[str, Box] = {}  # by the name of each layer in it
    for layer in layers:
        before = boxes.get(layer["inputs"][0]) if len(layer["inputs"]) == 1 else None
        if before and layer["type"] in JOINED and readers[layer["inputs"][0]] == 1:
            before.text += f" + {_text(layer)}"
            before.parameters += layer["parameters"]
            before.layers += 1
            boxes[layer["name"]] = before
            continue
        inputs = [*dict.fromkeys(boxes[name].name for name in layer["inputs"] if name in boxes)]
        boxes[layer["name"]] = Box(layer["name"], _text(layer), _shape(layer["shape"]), layer["parameters"], inputs)
    return [*{id(box): box for box in boxes.values()}.values()]


def _text(layer: Json) -> str:
    """Return type and settings of a layer in words."""
    kind = f"model of {layer['layers']} layers" if "layers" in layer else layer["type"].removesuffix("Layer")
    return f"{kind} {layer['settings']}".strip()


def _shape(sides: Sequence[int | None]) -> str:
    return " x ".join("?" if side is None else f"{side:,}" for side in sides) or "one number"


def _units(boxes: list[Box]) -> list[list[Box]]:
    """Divide boxes where a single line goes from all before to all after: each unit ends with such a box."""
    readers: dict[str, int] = {}
    for box in boxes:
        for name in box.inputs:
            readers[name] = readers.get(name, 0) + 1
    units: list[list[Box]] = [[]]
    pending: dict[str, int] = {}  # readers to come of the boxes so far
    for box in boxes:
        units[-1].append(box)
        for name in box.inputs:
            pending[name] -= 1
            if not pending[name]:
                del pending[name]
        pending[box.name] = readers.get(box.name, 0)
        if not pending[box.name]:
            del pending[box.name]
        if [*pending] in ([], [box.name]):
            units.append([])
    return [unit for unit in units if unit]


def _folded(units: list[list[Box]]) -> list[list[Box]]:
    """Draw the first of equal units that follow one another, and say how many more there are."""
    if sum(map(len, units)) <= MAX_BOXES // 2:
        return units
    result: list[list[Box]] = []
    for start, length, times in _runs([_signature(unit) for unit in units]):
        result += units[start : start + length]
        hidden = [box for unit in units[start + length : start + length * times] for box in unit]
        if hidden:
            text = f"the same {times - 1} more times" if times > 2 else "the same once more"
            result.append([_note(text, hidden, result[-1][-1].name)])
    return _relinked(result)


def _signature(unit: list[Box]) -> tuple[object, ...]:
    """Return what equal units have in common: texts, shapes, and which box reads which."""
    places = {box.name: place for place, box in enumerate(unit)}
    return tuple(
        (box.text, box.shape, box.parameters, tuple(places.get(name, -1) for name in box.inputs)) for box in unit
    )


def _runs(signatures: list[tuple[object, ...]]) -> Iterator[tuple[int, int, int]]:
    """Yield start, length and number of repetitions of the groups of units that repeat, of all units in order."""
    start = 0
    while start < len(signatures):
        best, most = (1, 1), MIN_HIDDEN - 1
        for length in range(1, MAX_PERIOD + 1):
            group, times = signatures[start : start + length], 1
            while signatures[start + times * length : start + (times + 1) * length] == group:
                times += 1
            if (hidden := sum(map(len, group)) * (times - 1)) > most:
                best, most = (length, times), hidden
        yield start, *best
        start += best[0] * best[1]


def _note(text: str, hidden: list[Box], before: str) -> Box:
    """Return a box that stands for others."""
    layers, parameters = (sum(getattr(box, name) for box in hidden) for name in ("layers", "parameters"))
    text = f"{text}: {layers} layers"
    return Box(hidden[-1].name, text, hidden[-1].shape, parameters, [before], layers, folded=True)


def _relinked(units: list[list[Box]]) -> list[list[Box]]:
    """Let boxes that read a hidden box read the last box before them."""
    seen: set[str] = set()
    last = ""
    for unit in units:
        for box in unit:
            box.inputs = [*dict.fromkeys(name if name in seen else last for name in box.inputs)]
            seen.add(box.name)
        last = unit[-1].name
    return units


def _without_middle(units: list[list[Box]]) -> list[list[Box]]:
    """Leave out units in the middle of a large network."""
    if sum(map(len, units)) <= MAX_BOXES:
        return units
    tail: list[list[Box]] = []
    for unit in reversed(units):
        if sum(map(len, tail)) + len(unit) > KEPT_AT_END:
            break
        tail.insert(0, unit)
    head: list[list[Box]] = []
    for unit in units[: len(units) - len(tail)]:
        if sum(map(len, head)) + len(unit) > MAX_BOXES - KEPT_AT_END:
            break
        head.append(unit)
    hidden = [box for unit in units[len(head) : len(units) - len(tail)] for box in unit]
    before = head[-1][-1].name if head else ""
    return _relinked([*head, [_note("not drawn", hidden, before)], *tail])


def _placed(boxes: list[Box]) -> Diagram:
    """Place boxes in rows by the longest way to them, and bend lines around the boxes of the rows between."""
    by_name = {box.name: box for box in boxes}
    for box in boxes:
        box.inputs = [name for name in box.inputs if name in by_name and name != box.name]
        box.row = 1 + max((by_name[name].row for name in box.inputs), default=-1)
    rows: dict[int, list[Box]] = {}
    ways: list[list[Box]] = []
    for box in boxes:
        for name in box.inputs:
            source = by_name[name]
            bends = [Box("", "", "", 0, [], row=row) for row in range(source.row + 1, box.row)]
            ways.append([source, *bends, box])
    parents: dict[int, list[Box]] = {}
    for way in ways:
        for one, other in itertools.pairwise(way):
            parents.setdefault(id(other), []).append(one)
    for item in [*boxes, *(bend for way in ways for bend in way[1:-1])]:
        rows.setdefault(item.row, []).append(item)
    for _, items in sorted(rows.items()):
        items.sort(key=lambda item: _middle([parent.column for parent in parents.get(id(item), [])]))
        for place, item in enumerate(items):
            item.column = place - (len(items) - 1) / 2
    return Diagram(boxes, [[(item.column, item.row) for item in way] for way in ways])


def _middle(columns: list[float]) -> float:
    return sum(columns) / len(columns) if columns else 0.0
