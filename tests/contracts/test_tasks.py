"""Contract of all task files: a schema for editors, a valid example, and expectations that can fail."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from workspaces import ROOT, fetch_raw

from tiltyard import plugins
from tiltyard.arrays import row_count
from tiltyard.config import loader
from tiltyard.errors import DataError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file, prepare
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


def test_first_line_refers_to_the_schema(task_name: str) -> None:
    """Editors use the schema to complete keys."""
    first = Workspace(ROOT).task_file(task_name).read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"


def test_example_is_accepted_by_the_encoder(workspace: Workspace, task_name: str) -> None:
    """The example parses, encodes to the shape of training rows, and is reproduced as JSON."""
    fetch_raw(workspace, task_name)
    task = loader.load(workspace, task_name)
    prepare.prepare(workspace, task)
    folder = workspace.out(task_name, "prepare")
    encoder = Encoder.load(folder / "encoder.json")
    rows = encoder.parse([task.serve.example])
    features, _ = array_file.read_part(folder / "train.npz")
    assert encoder.encode(rows).shape == (1, *features.shape[1:])
    assert encoder.to_json(rows) == [task.serve.example]


def test_serving_encodes_like_training(workspace: Workspace, task_name: str) -> None:
    """Training rows sent as JSON encode to the same bits as in training."""
    fetch_raw(workspace, task_name)
    task = loader.load(workspace, task_name)
    prepare.prepare(workspace, task)
    folder = workspace.out(task_name, "prepare")
    encoder = Encoder.load(folder / "encoder.json")
    rows, _ = plugins.load("modalities", task.modality)().rows(task, workspace.raw(task_name))
    some = {name: values[:64] for name, values in rows.items()}
    again = encoder.parse(encoder.to_json(some))
    assert row_count(again) == 64
    assert np.array_equal(encoder.encode(again), encoder.encode(some))


@pytest.mark.slow
def test_expectations_fail_on_corrupted_data(workspace: Workspace, task_name: str) -> None:
    """A raw file with random bytes, or truncated to half, is rejected."""
    fetch_raw(workspace, task_name)
    task = loader.load(workspace, task_name)
    (raw,) = workspace.raw(task_name).iterdir()
    original = raw.read_bytes()
    for corrupted in (original[: len(original) // 2], _scrambled(original, raw)):
        raw.write_bytes(corrupted)
        with pytest.raises(DataError):
            validate(workspace, task)


def _scrambled(content: bytes, path: Path) -> bytes:
    """Replace about one byte in fifty with a letter."""
    chance = random.Random(path.name)  # noqa: S311 - no secret
    return bytes(ord("x") if chance.random() < 0.02 else byte for byte in content)
