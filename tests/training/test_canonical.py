"""One spelling for a graph: whatever order and names an export comes with, equal models are equal files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import draw_features, model_and_data
from workspaces import run_in_process

from tiltyard.training.onnx.canonical import rewrite

pytestmark = pytest.mark.slow

RECURRENT: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
    "masked": ({"family": "rnn", "units": [4]}, (12,), "text"),
    "both": ({"family": "rnn", "units": [4, 4], "bidirectional": True, "attention": True}, (12,), "text"),
    "gru": ({"family": "rnn", "cell": "gru", "units": [4]}, (12, 1), "series"),
}


def _export(folder: str) -> None:
    for name, case in RECURRENT.items():
        model, x, _ = model_and_data(*case)
        model(x)
        model.export(f"{folder}/{name}.onnx", format="onnx", verbose=False)


def _stirred(path: Path, chance: random.Random) -> Path:
    """Write the same model with other names, and with what loops carry in another order."""
    import onnx

    model = onnx.load(path)
    public = {value.name for value in (*model.graph.input, *model.graph.output)} | {""}
    _rename(model.graph, public, f"_{chance.random()}")
    for node in model.graph.node:
        if node.op_type == "Loop":
            _swap(node, chance)
    stirred = path.with_name(f"stirred-{path.name}")
    onnx.save(model, stirred)
    return stirred


def _rename(graph: Any, kept: set[str], suffix: str) -> None:
    def new(name: str) -> str:
        return name if name in kept else name + suffix

    for node in graph.node:
        node.name += suffix
        node.input[:], node.output[:] = map(new, node.input), map(new, node.output)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, kept, suffix)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new(value.name)


def _swap(loop: Any, chance: random.Random) -> None:
    (body,) = (attribute.g for attribute in loop.attribute if attribute.HasField("g"))
    carried = len(loop.input) - 2
    order = chance.sample(range(carried), carried)
    for field, start in ((loop.input, 2), (loop.output, 0), (body.input, 2), (body.output, 1)):
        copies = [field[start + place] for place in order] + [*field[start + carried :]]
        copies = [item if isinstance(item, str) else type(item).FromString(item.SerializeToString()) for item in copies]
        del field[start:]
        field.extend(copies)


@pytest.mark.catalogue
def test_loops_are_spelled_alike_whatever_they_come_as(tmp_path: Path) -> None:
    """Renamed, and with loop variables in other orders, a recurrent model is the same file; it answers as before."""
    import onnxruntime

    run_in_process(_export, str(tmp_path))
    for name, (_, shape, modality) in RECURRENT.items():
        x, path = draw_features(shape, modality), tmp_path / f"{name}.onnx"
        before = onnxruntime.InferenceSession(path).run(None, {"features": x})[0]
        spelled = set()
        for seed in range(5):
            stirred = _stirred(path, random.Random(seed))  # noqa: S311 - no secret
            raw = stirred.read_bytes()
            rewrite(stirred)
            assert stirred.read_bytes() != raw
            spelled.add(stirred.read_bytes())
        rewrite(path)
        assert spelled == {path.read_bytes()}, name
        assert np.array_equal(onnxruntime.InferenceSession(path).run(None, {"features": x})[0], before), name
