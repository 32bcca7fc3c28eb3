"""Fine-tuning from a task of masked words: vocabulary, frozen and trained layers, and bases that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from generated_tasks import TEXTS
from model_families import model_settings
from pydantic import ValidationError
from workspaces import edit_task, new_workspace, run_in_process, start_training, train_tasks

from tiltyard import files
from tiltyard.config import base_tasks, loader
from tiltyard.errors import DataError
from tiltyard.modeling.inference.predictor import version
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

MODEL = {"family": "transformer", "embedding": 8, "blocks": 2, "pool": "none", "tied": True}
BASE: dict[str, Any] = {
    **TEXTS,
    "problem": "masked",
    "columns": {"message": {"type": "text", "length": 8, "masked": 0.25}},
    "target": {"column": "message"},
    "split": {"kind": "random"},
    "model": MODEL,
    "gate": {"metric": "perplexity"},
    "serve": {"example": "thank you , dear [MASK] !"},
}
TUNED: dict[str, Any] = {
    **TEXTS,
    "split": {"kind": "random", "training_rows": 60},
    "model": {"family": "pretrained", "base": "words"},
    "train": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Train a base on friendly and rude messages, and prepare a task that starts from it."""
    space = new_workspace(tmp_path_factory.mktemp("project"))
    kinds = {"kind": ["thank", "dear", "friend", "love"], "rude": ["fool", "shut", "hate", "out"]}
    lines = ["message,mood"]
    lines += [f"{w[i % 4]} you the {w[i // 4 % 4]} {i // 16},{mood}" for i in range(128) for mood, w in kinds.items()]
    for name, content in (("words", BASE), ("moods", TUNED)):
        files.write_text(space.task_file(name), yaml.safe_dump(content))
        space.raw(name).mkdir(parents=True)
        files.write_text(space.raw(name) / "table.csv", "\n".join(lines))
    prepare.prepare(space, loader.load(space, "words"))
    train_tasks(space, "words")
    prepare.prepare(space, loader.load(space, "moods"))
    return space


def _trained(project: Workspace, changes: dict[str, Any]) -> dict[str, Any]:
    """Train the task with other settings; return its record."""
    edit_task(project, "moods", {"model.unfreeze": None, "model.from_scratch": None, "train.then": None, **changes})
    train_tasks(project, "moods")
    record: dict[str, Any] = files.read_json(project.out("moods", "train") / "training.json")
    return record


def _weights(folder: str) -> list[tuple[str, Any]]:
    """Return name and values of the weights before the head."""
    import keras

    model = keras.saving.load_model(f"{folder}/model.keras", compile=False)
    inside = next((layer for layer in model.layers if layer.name == "base"), model)
    layers = [layer for layer in inside.layers if layer.name != "output"]
    return [(weight.path, np.array(weight).tolist()) for layer in layers for weight in layer.weights]


def _changed(project: Workspace) -> list[bool]:
    """Return for each weight of the base whether the task that starts from it has another."""
    before, after = (run_in_process(_weights, str(project.out(name, "train"))) for name in ("words", "moods"))
    return [was != now for (_, was), (_, now) in zip(before, after, strict=True)]


def test_vocabulary_of_the_base_is_used(project: Workspace) -> None:
    """Few rows know fewer words; they are encoded with the ids of the base, and its version is recorded."""
    encoders = [files.read_json(project.out(name, "prepare") / "encoder.json") for name in ("words", "moods")]
    assert encoders[0]["fitted"] == encoders[1]["fitted"]
    split = files.read_json(project.out("moods", "prepare") / "split.json")
    assert split["rows"]["train"] + split["rows"]["validation"] == 60
    record = _trained(project, {})
    base = project.out("words", "train")
    assert (record["base"]["task"], record["base"]["version"]) == ("words", version(base))
    assert record["parity"] < 1e-4
    assert base_tasks.in_training_order(project, ["moods"]) == ["words", "moods"]


def test_all_layers_are_trained_by_default(project: Workspace) -> None:
    """Word vectors and both blocks change."""
    _trained(project, {})
    assert all(_changed(project))


def test_frozen_base_is_unchanged(project: Workspace) -> None:
    """With no unfrozen block, only the head is trained."""
    _trained(project, {"model.unfreeze": 0})
    assert not any(_changed(project))


def test_last_block_is_trained_alone(project: Workspace) -> None:
    """With one unfrozen block, word vectors and the first block are unchanged."""
    _trained(project, {"model.unfreeze": 1})
    changed = _changed(project)
    first = changed.index(True)
    assert not any(changed[:first])
    assert all(changed[first:])
    assert 0 < first < len(changed)


def test_base_is_frozen_in_the_first_phase(project: Workspace) -> None:
    """With a second phase of which no epoch is better, the base is that of the first phase: unchanged."""
    record = _trained(project, {"train.then": {"epochs": 1, "learning_rate": 1e-12}})
    assert record["warm_start"] == {"epoch": 3, "from_epoch": record["warm_start"]["from_epoch"]}
    assert np.mean(_changed(project)) < 0.5 or record["best_epoch"] == 3


def test_from_scratch_has_other_weights(project: Workspace) -> None:
    """The same network begins with random weights, of the same vocabulary; the base is still disclosed."""
    record = _trained(project, {"model.from_scratch": True, "train.epochs": 1, "train.learning_rate": 1e-9})
    assert record["base"]["task"] == "words"
    assert np.mean(_changed(project)) > 0.3  # biases begin with zero, and layer norms with one


def _error(project: Workspace) -> str:
    process = start_training(project, "moods")
    process.join(120)
    assert process.exitcode == 1
    return (project.root / "error.txt").read_text()


def test_base_that_knows_test_rows_is_refused(project: Workspace) -> None:
    """With another split, test rows are among those of the base: the error counts them."""
    edit_task(project, "moods", {"split.seed": 1})
    prepare.prepare(project, loader.load(project, "moods"), reseal=True)
    assert "sealed test rows are among the rows of words" in _error(project)
    edit_task(project, "moods", {"split.seed": None})
    prepare.prepare(project, loader.load(project, "moods"), reseal=True)


def test_base_that_reads_other_words_is_refused(project: Workspace) -> None:
    """The settings of the text column must be those of the base; the error names both."""
    edit_task(project, "moods", {"columns.message.length": 6})
    with pytest.raises(DataError, match=r"columns\.message: expected the settings of message in words"):
        prepare.prepare(project, loader.load(project, "moods"))
    edit_task(project, "moods", {"columns.message.length": 8})


def test_changed_vocabulary_is_found_before_training(project: Workspace) -> None:
    """If the base has another vocabulary now, rows have to be prepared again."""
    path = project.out("words", "train") / "encoder.json"
    encoder = files.read_json(path)
    words = encoder["fitted"]["message"]["ids"]
    files.write_json(
        path, {**encoder, "fitted": {"message": {"ids": dict(zip(words, reversed(words.values()), strict=True))}}}
    )
    try:
        assert "expected rows with the vocabulary of words, which has changed" in _error(project)
    finally:
        files.write_json(path, encoder)


def test_base_that_is_not_trained_is_refused(project: Workspace) -> None:
    """The error says what to train."""
    edit_task(project, "moods", {"model.base": "nobody"})
    with pytest.raises(DataError, match="expected a trained task, whose vocabulary is used; nobody has no model"):
        prepare.prepare(project, loader.load(project, "moods"))
    edit_task(project, "moods", {"model.base": "words"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": {"family": "bow"}}, "base: expected transformer with pool: none"),
        ({"base": {"family": "cnn"}}, "expected the family bow"),
        ({"base": MODEL, "from_scratch": True}, "base: expected a task with from_scratch or unfreeze"),
        ({"base": "words", "unfreeze": -1}, "unfreeze: expected all, or 0 or more blocks; received -1"),
    ],
)
def test_settings_are_validated(settings: dict[str, Any], message: str) -> None:
    """Settings that make no sense together are refused."""
    with pytest.raises(ValidationError, match=message):
        model_settings({"family": "pretrained", **settings})
