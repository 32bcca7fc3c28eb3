"""What one task has learned is taken for another: frozen, or learning on at its end, and on record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from model_families import SHAPES, build_model, model_settings
from pydantic import ValidationError
from workspaces import edit_task, fetch_raw, run_in_process, start_training, train_tasks

from pipelines import smoke
from pipelines.smoke import run as run_smoke
from tiltyard import files
from tiltyard.config import base_tasks, loader
from tiltyard.errors import TaskError, TrainingError
from tiltyard.modeling.inference.predictor import version
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

TAKEN = {"family": "transfer", "base": "digits", "units": [16]}


def _second(workspace: Workspace, model: dict[str, Any], **changes: object) -> Path:
    """Make a task that takes from the digits, of the same pictures; give where its model goes."""
    content = yaml.safe_load(workspace.task_file("digits").read_text())
    content |= {"model": model, "train": content["train"] | {"augment": None, "epochs": 2}}
    workspace.task_file("few").write_text(yaml.safe_dump(content | changes))
    fetch_raw(workspace, "few")
    prepare.prepare(workspace, loader.load(workspace, "few"))
    return workspace.out("few", "train")


def _weights(folder: str) -> list[list[Any]]:
    """Return name and sum of each weight of the convolutions and their batch norms, as they were saved."""
    import keras

    model = keras.saving.load_model(f"{folder}/model.keras", compile=False)
    inside = next((layer for layer in model.layers if layer.name == "base"), model)
    kept = [layer for layer in inside.layers if len(layer.output.shape) == 4]
    return [[weight.path.split("/")[-2:], np.array(weight).tolist()] for layer in kept for weight in layer.weights]


def test_a_frozen_base_stays_as_it_was_trained(trained_project: Workspace) -> None:
    """Convolutions and batch statistics are the base's to the last bit, and its version is on record."""
    out, base = _second(trained_project, TAKEN), trained_project.out("digits", "train")
    train_tasks(trained_project, "few")
    assert files.read_json(out / "training.json")["base"] == {"task": "digits", "version": version(base)}
    assert run_in_process(_weights, str(out)) == run_in_process(_weights, str(base))
    assert files.read_json(out / "training.json")["parity"] < 1e-4
    task = loader.load(trained_project, "few")
    assert not base_tasks.is_stale(trained_project, task)
    encoder = files.read_json(base / "encoder.json")
    files.write_json(base / "encoder.json", {**encoder, "one": "more"})
    assert base_tasks.is_stale(trained_project, task)


def test_the_last_block_learns_on_if_asked(trained_project: Workspace) -> None:
    """One block is let loose: its convolution changes; nothing before it does, and no batch norm."""
    out = _second(trained_project, TAKEN | {"unfreeze": 1})
    train_tasks(trained_project, "few")
    before, after = (run_in_process(_weights, str(folder)) for folder in (trained_project.out("digits", "train"), out))
    pairs = zip(before, after, strict=True)
    assert [name for (name, was), (_, now) in pairs if was != now] == [["conv2d_1", "kernel"]]


def test_a_base_that_cannot_be_taken_is_refused_in_a_sentence(trained_project: Workspace) -> None:
    """Not trained, of another size, or without convolutions: each says so, and what to type."""
    _second(trained_project, TAKEN | {"base": "nobody"})
    assert "TrainingError: model.base: expected a trained task; nobody has no model" in _refusal(trained_project)
    edit_task(trained_project, "few", {"model.base": "iris"})
    assert "base: expected images of (4,), as in iris; received (8, 8, 1)" in _refusal(trained_project)
    edit_task(trained_project, "few", {"model.base": {"family": "mlp"}})
    assert "base: expected convolutions; it has none" in _refusal(trained_project)


def test_a_base_goes_before_what_takes_from_it(workspace: Workspace) -> None:
    """Once, and put in where it was not named; a circle is refused, and so is a base that is no task."""
    content = yaml.safe_load(workspace.task_file("digits").read_text()) | {"model": TAKEN}
    for name, base in (("few", "digits"), ("fewer", "few")):
        content["model"]["base"] = base
        workspace.task_file(name).write_text(yaml.safe_dump(content))
    assert base_tasks.in_training_order(workspace, ["fewer", "iris", "digits"]) == ["digits", "few", "fewer", "iris"]
    assert not base_tasks.is_stale(workspace, loader.load(workspace, "few"))
    edit_task(workspace, "few", {"model.base": "fewer"})
    with pytest.raises(TaskError, match="fewer is based on few is based on fewer"):
        base_tasks.in_training_order(workspace, ["fewer"])
    assert base_tasks.in_training_order(workspace, ["fewer", "iris"]) == ["fewer", "iris"]
    edit_task(workspace, "few", {"model.base": "nobody"})
    with pytest.raises(TaskError, match="no task 'nobody'"):
        base_tasks.in_training_order(workspace, ["fewer"])
    assert base_tasks.in_training_order(workspace, ["fewer", "iris"]) == ["fewer", "iris"]


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("fewer", "few is based on fewer is based on few"),
        ("few", "few is based on few"),
        ("nobody", "no task 'nobody'"),
    ],
)
def test_a_base_that_leads_nowhere_leaves_other_tasks_alone(
    workspace: Workspace, base: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A circle, or a base that is no task: rows say so, and the other task goes on."""
    content = yaml.safe_load(workspace.task_file("digits").read_text())
    for name, other in (("few", base), ("fewer", "few")):
        workspace.task_file(name).write_text(yaml.safe_dump(content | {"model": TAKEN | {"base": other}}))
    report = {"version": "0", "metrics": {"balanced_accuracy": 1.0}, "baseline": {"balanced_accuracy": 0.3}}
    monkeypatch.setattr(smoke, "run_task", lambda *_: report)
    monkeypatch.setattr(smoke, "check_service", lambda *_: None)
    found = {row.task: row for row in run_smoke(workspace, ["fewer", "few", "iris"])}
    assert [*found] == ["fewer", "few", "iris"]
    assert found["iris"].ok
    assert found["few"].stopped == found["fewer"].stopped == "task file"
    assert said in found["few"].error


def _refusal(workspace: Workspace) -> str:
    process = start_training(workspace, "few")
    process.join(120)
    assert process.exitcode == 1
    return (workspace.root / "error.txt").read_text()


def test_settings_of_a_base_are_checked_like_any() -> None:
    """A family that reads no pictures, one of an unknown name, and a network that no one offers are refused."""
    for base in (
        {"family": "rnn", "unit": [3]},
        {"family": "bow"},
        {"units": [3]},
        {"family": "transfer", "base": "x"},
    ):
        with pytest.raises(ValidationError, match=r"unknown key 'unit'|expected the family alexnet, cnn"):
            model_settings({"family": "transfer", "base": base})
    with pytest.raises(ValidationError, match="expected vgg16 or vgg19"):
        model_settings({"family": "transfer", "base": "lenet", "weights_of": "imagenet"})


def _without_network(folder: str) -> None:
    os.environ |= {"KERAS_HOME": folder, "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    build_model({"family": "transfer", "base": "vgg16", "weights_of": "imagenet"}, (32, 32, 3))


def test_weights_that_cannot_be_downloaded_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """Without a way to the network, it says which weights are missing."""
    with pytest.raises(TrainingError, match=r"imagenet weights of vgg16 cannot be loaded"):
        run_in_process(_without_network, str(tmp_path))


def _frozen() -> list[bool]:
    """Drop nothing inside a frozen base: the same rows give the same maps in training, too."""
    import keras

    base = {"family": "cnn", "filters": [4, 4], "spatial_dropout": 0.5, "batch_norm": True}
    model = build_model({"family": "transfer", "base": base}, SHAPES["image"])
    trunk = model.get_layer("base")
    x = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    calm, busy = (keras.ops.convert_to_numpy(trunk(x, training=training)) for training in (False, True))
    return [bool(np.array_equal(calm, busy)), any(layer.trainable for layer in trunk.layers if layer.weights)]


def test_nothing_is_dropped_inside_a_frozen_base() -> None:
    """Dropout and batch statistics of the base are as in use, while the layers behind it are trained."""
    assert run_in_process(_frozen) == [True, False]
