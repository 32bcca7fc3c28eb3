"""The diagram of a network: which layers share a box, where branches are placed, and how large networks are folded."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tiltyard import files
from tiltyard.files import Json
from tiltyard.report.network_diagram import MAX_BOXES, Diagram, diagram
from tiltyard.report.sections.network import MAX_LISTED, network_section
from tiltyard.training.layer_graph import FILE


def layer(name: str, kind: str, *inputs: str, parameters: int = 0, settings: str = "") -> Json:
    """Return the record of a layer."""
    common = {"settings": settings, "shape": [8, 8, 4], "parameters": parameters, "trainable": parameters}
    return {"name": name, "type": kind, "inputs": [*inputs], **common}


def residual(blocks: int, *, different: bool = False) -> list[Json]:
    """Return a network of residual blocks."""
    layers, last = [layer("in", "InputLayer")], "in"
    for place in range(blocks):
        kind = f"Conv{place}" if different else "Conv"
        layers += [
            layer(f"a{place}", kind, last, parameters=10),
            layer(f"n{place}", "BatchNormalization", f"a{place}", parameters=2),
            layer(f"r{place}", "ReLU", f"n{place}"),
            layer(f"b{place}", "Conv2D", f"r{place}", parameters=10),
            layer(f"s{place}", "Add", last, f"b{place}"),
        ]
        last = f"s{place}"
    return [*layers, layer("out", "Dense", last, parameters=5, settings="3, softmax")]


def places(drawn: Diagram) -> dict[str, tuple[int, float]]:
    """Return row and column of each box by its text."""
    return {box.text: (box.row, box.column) for box in drawn.boxes}


def check(drawn: Diagram) -> None:
    """Check that no two boxes are at one place, that lines go down row by row, and begin and end at boxes."""
    taken = [(box.column, box.row) for box in drawn.boxes]
    assert len({*taken}) == len(taken)
    for line in drawn.lines:
        assert line[0] in taken
        assert line[-1] in taken
        assert [row for _, row in line] == [*range(line[0][1], line[-1][1] + 1)]
        assert not {*line[1:-1]} & {*taken}


def test_a_chain_is_a_column_and_activations_join_their_layer() -> None:
    """Normalisation, activation and dropout are part of the box before them; parameters are added."""
    layers = [
        layer("in", "InputLayer"),
        layer("c", "Conv2D", "in", parameters=40, settings="4, 3x3"),
        layer("n", "BatchNormalization", "c", parameters=16),
        layer("d", "Dropout", "n", settings="0.5"),
        layer("o", "Dense", "d", parameters=7),
    ]
    drawn = diagram(layers)
    assert places(drawn) == {
        "Input": (0, 0),
        "Conv2D 4, 3x3 + BatchNormalization + Dropout 0.5": (1, 0),
        "Dense": (2, 0),
    }
    assert [box.parameters for box in drawn.boxes] == [0, 56, 7]
    assert drawn.lines == [[(0, 0), (0, 1)], [(0, 1), (0, 2)]]
    check(drawn)


def test_an_activation_with_two_readers_before_it_keeps_its_box() -> None:
    """A layer whose output is also read elsewhere is not joined by the activation after it."""
    layers = [
        layer("in", "InputLayer"),
        layer("c", "Conv2D", "in"),
        layer("r", "ReLU", "c"),
        layer("s", "Add", "c", "r"),
    ]
    assert [box.text for box in diagram(layers).boxes] == ["Input", "Conv2D", "ReLU", "Add"]


def test_a_shortcut_passes_beside_the_block() -> None:
    """The line from the input to the sum bends around the boxes between."""
    drawn = diagram(residual(1))
    assert places(drawn)["Add"] == (3, 0)
    shortcut = next(line for line in drawn.lines if len(line) > 2)
    assert shortcut == [(0, 0), (0.5, 1), (0.5, 2), (0, 3)]
    check(drawn)


def test_branches_are_side_by_side() -> None:
    """The branches of an inception block are in columns of one row."""
    branches = [layer(f"b{place}", f"Conv{place}", "in") for place in range(4)]
    drawn = diagram([layer("in", "InputLayer"), *branches, layer("all", "Concatenate", "b0", "b1", "b2", "b3")])
    assert [places(drawn)[f"Conv{place}"] for place in range(4)] == [(1, -1.5), (1, -0.5), (1, 0.5), (1, 1.5)]
    check(drawn)


def test_equal_blocks_are_drawn_once() -> None:
    """The box after the first says how many more there are; no parameter is lost."""
    layers = residual(20)
    drawn = diagram(layers)
    assert [box.text for box in drawn.boxes if box.folded] == ["the same 19 more times: 95 layers"]
    assert len(drawn.boxes) < 10
    assert sum(box.parameters for box in drawn.boxes) == sum(record["parameters"] for record in layers)
    assert sum(box.layers for box in drawn.boxes) == len(layers)
    check(drawn)


def test_the_middle_of_a_large_network_is_left_out() -> None:
    """Beginning and end are drawn, and one box for the rest."""
    layers = residual(60, different=True)
    drawn = diagram(layers)
    assert len(drawn.boxes) <= MAX_BOXES + 1
    (note,) = [box for box in drawn.boxes if box.folded]
    assert note.text.startswith("not drawn: ")
    assert sum(box.parameters for box in drawn.boxes) == sum(record["parameters"] for record in layers)
    assert drawn.boxes[-1].text == "Dense 3, softmax"
    check(drawn)


@pytest.mark.parametrize("seed", range(20))
def test_any_network_can_be_drawn(seed: int) -> None:
    """In random networks, also with several inputs and outputs, boxes do not overlap and nothing is lost."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    layers: list[Json] = []
    for place in range(chance.randint(1, 120)):
        before = [chance.choice(layers[-6:])["name"] for _ in range(chance.randint(0, 3)) if layers]
        kind = chance.choice(["Dense", "ReLU", "Add", "Dropout"])
        layers.append(layer(f"l{place}", kind, *dict.fromkeys(before), parameters=place))
    drawn = diagram(layers)
    check(drawn)
    assert sum(box.parameters for box in drawn.boxes) == sum(record["parameters"] for record in layers)


def test_section_has_all_layers_as_a_table(tmp_path: Path) -> None:
    """Rows beyond the bound are counted; a model without a record has no section."""
    assert network_section(tmp_path).content == ""
    files.write_json(tmp_path / FILE, residual(2))
    content = network_section(tmp_path).content
    assert "12 layers and operations with 49 parameters" in content
    assert content.count("<tr>") == 1 + 12
    files.write_json(tmp_path / FILE, residual(100))
    assert f"the first {MAX_LISTED} of 502" in network_section(tmp_path).content
    assert network_section(tmp_path).content.count("<tr>") == 1 + MAX_LISTED


def test_names_of_layers_are_escaped(tmp_path: Path) -> None:
    """A name from a task file cannot end the script or the table."""
    files.write_json(tmp_path / FILE, [layer("</script><b>", "</script><b>")])
    assert "<b>" not in network_section(tmp_path).content
