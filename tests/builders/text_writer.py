"""A text generation model without training: random probabilities of a character after the one before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import version
from tiltyard.preparation.prepare import prepare
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging.package import schema
from tiltyard.workspace import Workspace

WINDOW = 40
SONG = "".join(f"{n} green bottles hanging on the wall,\n" for n in range(600))
TASK: dict[str, Any] = {
    "title": "A song without an end",
    "problem": "generation",
    "source": {"kind": "prose", "path": "song.txt"},
    "rows": [400, 10000],
    "columns": {"text": {"type": "prose", "length": WINDOW}},
    "target": {"column": "text"},
    "split": {"kind": "chronological"},
    "model": {"family": "rnn", "cell": "gru", "units": [4], "whole": True, "embedding": 4},
    "train": {"epochs": 1, "batch_size": 16},
    "gate": {"metric": "perplexity"},
    "serve": {"example": {"prompt": "bottles hanging on", "length": 10, "temperature": 0}},
}


def song_model(space: Workspace) -> LoadedModel:
    """Prepare the task `song` and return its model, as the service holds it."""
    files.write_text(space.root / "song.txt", SONG)
    files.write_text(space.task_file("song"), yaml.safe_dump(TASK, sort_keys=False))
    task = loader.load(space, "song")
    with files.atomic_folder(space.raw("song")) as raw:
        task.source.fetch(raw, space)
    prepare(space, task)
    folder = space.out("song", "prepare")
    encoder = Encoder.load(folder / "encoder.json")
    _write_model(folder, encoder.vocabulary_size)
    report = {"version": version(folder), "metrics": {}, "rows": {"test": 1}, "data": "0" * 64}
    files.write_json(folder / "schema.json", schema(task, encoder, report))
    return LoadedModel.load(folder)


def _write_model(folder: Path, size: int) -> None:
    """Write an ONNX file that looks up the probabilities of the next character."""
    from onnx import TensorProto, helper, save

    chances = np.random.default_rng(0).normal(size=(size, size)) * 3
    nodes = [
        helper.make_node("Cast", ["features"], ["ids"], to=TensorProto.INT64),
        helper.make_node("Gather", ["chances", "ids"], ["next"]),
        helper.make_node("Softmax", ["next"], ["output"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "scribe",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, WINDOW])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, WINDOW, size])],
        [helper.make_tensor("chances", TensorProto.FLOAT, chances.shape, chances.ravel().tolist())],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx")
