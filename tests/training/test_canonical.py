"""Canonical ONNX files: equal models are equal files, whatever names and order their exports have."""

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


def _shuffled(path: Path, rng: random.Random) -> Path:
    """Write the same model with other names, explicit domains, and loop variables in another order."""
    import onnx

    model = onnx.load(path)
    public = {value.name for value in (*model.graph.input, *model.graph.output)} | {""}
    _rename(model.graph, public, f"_{rng.random()}")
    for node in model.graph.node:
        node.ClearField("domain")
        if rng.random() < 0.5:
            node.domain = ""  # the same, written out
        if node.op_type == "Loop":
            _swap(node, rng)
    shuffled = path.with_name(f"stirred-{path.name}")
    onnx.save(model, shuffled)
    return shuffled


def _rename(graph: Any, public_names: set[str], suffix: str) -> None:
    def new_name(name: str) -> str:
        return name if name in public_names else name + suffix

    for node in graph.node:
        node.name += suffix
        node.input[:], node.output[:] = map(new_name, node.input), map(new_name, node.output)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, public_names, suffix)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new_name(value.name)


def _swap(loop: Any, rng: random.Random) -> None:
    (body,) = (attribute.g for attribute in loop.attribute if attribute.HasField("g"))
    carried = len(loop.input) - 2
    order = rng.sample(range(carried), carried)
    for field, start in ((loop.input, 2), (loop.output, 0), (body.input, 2), (body.output, 1)):
        copies = [field[start + index] for index in order] + [*field[start + carried :]]
        copies = [item if isinstance(item, str) else type(item).FromString(item.SerializeToString()) for item in copies]
        del field[start:]
        field.extend(copies)


@pytest.mark.catalogue
def test_equal_recurrent_models_are_written_as_equal_files(tmp_path: Path) -> None:
    """A renamed recurrent model with reordered loop variables gives the same file and the same predictions."""
    import onnxruntime

    run_in_process(_export, str(tmp_path))
    for name, (_, shape, modality) in RECURRENT.items():
        x, path = draw_features(shape, modality), tmp_path / f"{name}.onnx"
        before = onnxruntime.InferenceSession(path).run(None, {"features": x})[0]
        contents = set()
        for seed in range(5):
            shuffled = _shuffled(path, random.Random(seed))  # noqa: S311 - no secret
            raw = shuffled.read_bytes()
            rewrite(shuffled)
            assert shuffled.read_bytes() != raw
            contents.add(shuffled.read_bytes())
        rewrite(path)
        assert contents == {path.read_bytes()}, name
        assert np.array_equal(onnxruntime.InferenceSession(path).run(None, {"features": x})[0], before), name
