"""Variants of an ONNX file: int8 with and without calibration, and float16."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import random_models
from workspaces import new_workspace

from tiltyard.arrays import Array
from tiltyard.cli.commands import pipeline
from tiltyard.errors import TrainingError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation.array_file import open_part
from tiltyard.training.onnx import variants
from tiltyard.workspace import Workspace


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace in which digits is evaluated."""
    found = new_workspace(tmp_path_factory.mktemp("variants"))
    random_models.write_evaluated(found, "digits")
    return found


@pytest.fixture
def features(space: Workspace) -> Array:
    """Return encoded training rows."""
    found: Array = open_part(space.out("digits", "prepare") / "train.npz")[0][:64]
    return found


@pytest.mark.parametrize("kind", variants.KINDS)
def test_variant_predicts_nearly_the_same(space: Workspace, features: Array, tmp_path: Path, kind: str) -> None:
    """Each variant predicts nearly what its origin does, and is the same file each time."""
    origin = space.out("digits", "train")
    contents = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(origin / "encoder.json", folder)
        variants.write(kind, origin / "model.onnx", folder / "model.onnx", features)
        assert {path.name for path in folder.iterdir()} == {"encoder.json", "model.onnx"}
        contents.append((folder / "model.onnx").read_bytes())
    assert contents[0] == contents[1] != (origin / "model.onnx").read_bytes()
    pixels = features.astype(np.float32)
    found, expected = (Predictor.load(one).run(pixels) for one in (tmp_path / "first", origin))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() > 0
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.9


def test_file_that_cannot_be_converted_is_an_error(features: Array, tmp_path: Path) -> None:
    """A file that is no model is an error with the kind of variant, not a traceback."""
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(TrainingError, match="fp16: onnxruntime cannot convert this model"):
        variants.write("fp16", tmp_path / "model.onnx", tmp_path / "variant.onnx", features)


def test_command_line_offers_all_kinds() -> None:
    """The command line, which must not import numpy for its help, names exactly the kinds that exist."""
    (option,) = (one for one in pipeline.quantize.params if one.name == "kind")
    assert [*option.type.choices] == [*variants.KINDS]  # type: ignore[attr-defined]
