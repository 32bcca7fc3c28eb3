"""Transfer learning from the model of another task: frozen or partly trained, and recorded."""

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

from tiltyard import files
from tiltyard.config import base_tasks, loader
from tiltyard.errors import DataError, TaskError, TrainingError
from tiltyard.modeling.inference.predictor import version
from tiltyard.pipelines import smoke
from tiltyard.pipelines.smoke import run as run_smoke
from tiltyard.preparation import base_rows, prepare
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.serving.packaging.model_card import base_text
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

TRANSFER = {"family": "transfer", "base": "digits", "units": [16]}


def _transfer_task(workspace: Workspace, model: dict[str, Any], **changes: object) -> Path:
    """Create a task with the same images that is based on digits; return the folder of its model."""
    content = yaml.safe_load(workspace.task_file("digits").read_text())
    content |= {"model": model, "train": content["train"] | {"augment": None, "epochs": 2}}
    workspace.task_file("few").write_text(yaml.safe_dump(content | changes))
    fetch_raw(workspace, "few")
    prepare.prepare(workspace, loader.load(workspace, "few"))
    return workspace.out("few", "train")


def _weights(folder: str) -> list[list[Any]]:
    """Return name and values of each saved weight of the convolutions and their batch norms."""
    import keras

    model = keras.saving.load_model(f"{folder}/model.keras", compile=False)
    inside = next((layer for layer in model.layers if layer.name == "base"), model)
    convolutional = [layer for layer in inside.layers if len(layer.output.shape) == 4]
    return [
        [weight.path.split("/")[-2:], np.array(weight).tolist()] for layer in convolutional for weight in layer.weights
    ]


def test_frozen_base_is_unchanged(trained_project: Workspace) -> None:
    """Convolutions and batch statistics are exactly those of the base, and its version is recorded."""
    out, base = _transfer_task(trained_project, TRANSFER), trained_project.out("digits", "train")
    train_tasks(trained_project, "few")
    record, facts = files.read_json(out / "training.json"), files.read_json(base.parent / "prepare" / "split.json")
    rows = {name: facts["rows"][name] for name in ("train", "validation")}
    expected = {"task": "digits", "version": version(base), "data": facts["data"], "rows": rows}
    assert record["base"] == expected
    text = base_text(record["base"])
    assert text.startswith(f"task digits, version {version(base)}, trained on data {facts['data'][:12]} with")
    assert f"{rows['train']:,} training and {rows['validation']:,} validation rows" in text
    assert run_in_process(_weights, str(out)) == run_in_process(_weights, str(base))
    assert files.read_json(out / "training.json")["parity"] < 1e-4
    task = loader.load(trained_project, "few")
    assert not base_tasks.is_stale(trained_project, task)
    encoder = files.read_json(base / "encoder.json")
    files.write_json(base / "encoder.json", {**encoder, "one": "more"})
    assert base_tasks.is_stale(trained_project, task)


def test_base_that_knows_test_rows_is_refused(trained_project: Workspace) -> None:
    """With another split, test rows are among those of the base: the error counts them, and nothing is trained."""
    out = _transfer_task(trained_project, TRANSFER, split={"kind": "random", "test": 0.2, "validation": 0.2, "seed": 1})
    error = _training_error(trained_project)
    base = trained_project.out("digits", "prepare")
    with np.load(base / base_rows.FILE) as hashes, np.load(out.parent / "prepare" / "test.npz") as test:
        keys = row_keys({"image": test["column:image"]}, 0)
        known = [int(np.isin(keys, hashes[name]).sum()) for name in base_rows.PARTS]
    assert all(known)
    assert f"{sum(known):,} of {len(keys):,} sealed test rows are among the rows of digits" in error
    assert f"{known[0]:,} among its training rows, {known[1]:,} among its validation rows" in error
    assert not out.exists()


def test_base_of_a_base_is_checked(trained_project: Workspace) -> None:
    """Test rows that only the first of two bases knows are found, and both bases are disclosed."""
    train = _transfer_task(trained_project, TRANSFER)
    train_tasks(trained_project, "few")
    record = files.read_json(train / "training.json")
    content = yaml.safe_load(trained_project.task_file("few").read_text()) | {"model": TRANSFER | {"base": "few"}}
    trained_project.task_file("fewer").write_text(yaml.safe_dump(content))
    fetch_raw(trained_project, "fewer")
    task = loader.load(trained_project, "fewer")
    prepare.prepare(trained_project, task)
    checked = base_rows.checked_base(trained_project, task)
    assert checked["base"] == record["base"]
    assert base_text({"task": "few", "version": "v", **checked}).count("none of which is a test row here") == 2
    hashes = train.parent / "prepare" / base_rows.FILE
    np.savez(hashes, train=[], validation=[], seed=[0])  # as if `few` itself knew no row
    edited = yaml.safe_load(trained_project.task_file("fewer").read_text())
    edited["split"] = {"kind": "random", "test": 0.2, "validation": 0.2, "seed": 1}
    trained_project.task_file("fewer").write_text(yaml.safe_dump(edited))
    task = loader.load(trained_project, "fewer")
    prepare.prepare(trained_project, task, reseal=True)
    with pytest.raises(DataError, match="among the rows of digits: "):
        base_rows.checked_base(trained_project, task)


def test_base_with_other_rows_than_it_was_trained_with_is_refused(trained_project: Workspace) -> None:
    """If a base was prepared again, nobody knows which rows its model has learned from."""
    _transfer_task(trained_project, TRANSFER)
    edit_task(trained_project, "digits", {"split.validation": 0.25})
    prepare.prepare(trained_project, loader.load(trained_project, "digits"))
    assert "TrainingError: model.base: expected the rows that digits was trained with" in _training_error(
        trained_project
    )


def test_unfrozen_last_block_is_trained(trained_project: Workspace) -> None:
    """With one unfrozen block, its convolution changes, but nothing before it and no batch norm."""
    out = _transfer_task(trained_project, TRANSFER | {"unfreeze": 1})
    train_tasks(trained_project, "few")
    before, after = (run_in_process(_weights, str(folder)) for folder in (trained_project.out("digits", "train"), out))
    pairs = zip(before, after, strict=True)
    assert [name for (name, was), (_, now) in pairs if was != now] == [["conv2d_1", "kernel"]]


def test_base_may_be_blended_with_references() -> None:
    """Of a base that is averaged with references, the layers of its network are used."""
    names, message = run_in_process(_layers_of_base)
    assert names == ["features", "standard"]
    assert message == "base: expected a network; the model of digits consists of references or of an ensemble"


def _layers_of_base() -> tuple[list[str], str]:
    """Return the layers of the network in a blend, and the error for a blend without one."""
    import keras

    from tiltyard.modeling.models._base_task import network_part
    from tiltyard.training.blend import combine

    features = keras.Input((4,), name="features")
    body = keras.Model(features, keras.layers.Rescaling(2.0, name="standard")(features))
    other = keras.Model(features, features * 1.0)
    part = network_part(combine([body, other, other], [0.5, 0.2, 0.3]), "digits")
    try:
        network_part(combine([body, other, other], [0.0, 0.4, 0.6]), "digits")
    except ValueError as error:
        return [layer.name for layer in part.layers], str(error)
    return [], ""


def test_unsuitable_base_is_refused(trained_project: Workspace) -> None:
    """A base that is not trained, has another image size or no convolutions is refused with the reason."""
    _transfer_task(trained_project, TRANSFER | {"base": "nobody"})
    assert "TrainingError: model.base: expected a trained task; nobody has no model" in _training_error(trained_project)
    edit_task(trained_project, "few", {"model.base": "iris"})
    assert "base: expected images of (4,), as in iris; received (8, 8, 1)" in _training_error(trained_project)
    edit_task(trained_project, "few", {"model.base": {"family": "mlp"}})
    assert "base: expected convolutions; it has none" in _training_error(trained_project)


def test_base_tasks_are_trained_first(workspace: Workspace) -> None:
    """Each base is added once before the tasks that use it; cycles and unknown bases are refused."""
    content = yaml.safe_load(workspace.task_file("digits").read_text()) | {"model": TRANSFER}
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
    ("base", "message"),
    [
        ("fewer", "few is based on fewer is based on few"),
        ("few", "few is based on few"),
        ("nobody", "no task 'nobody'"),
    ],
)
def test_invalid_base_does_not_affect_other_tasks(
    workspace: Workspace, base: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a cycle or an unknown base the rows have the error, and the other task runs."""
    content = yaml.safe_load(workspace.task_file("digits").read_text())
    for name, other in (("few", base), ("fewer", "few")):
        workspace.task_file(name).write_text(yaml.safe_dump(content | {"model": TRANSFER | {"base": other}}))
    report = {"version": "0", "metrics": {"balanced_accuracy": 1.0}, "baseline": {"balanced_accuracy": 0.3}}
    monkeypatch.setattr(smoke, "run_task", lambda *_: report)
    monkeypatch.setattr(smoke, "check_service", lambda *_: None)
    found = {row.task: row for row in run_smoke(workspace, ["fewer", "few", "iris"])}
    assert [*found] == ["fewer", "few", "iris"]
    assert found["iris"].ok
    assert found["few"].stopped == found["fewer"].stopped == "task file"
    assert message in found["few"].error


def _training_error(workspace: Workspace) -> str:
    process = start_training(workspace, "few")
    process.join(120)
    assert process.exitcode == 1
    return (workspace.root / "error.txt").read_text()


def test_settings_of_a_base_are_validated() -> None:
    """A family without images, an unknown family and an unknown pretrained network are refused."""
    for base in (
        {"family": "rnn", "unit": [3]},
        {"family": "bow"},
        {"units": [3]},
        {"family": "transfer", "base": "x"},
    ):
        with pytest.raises(ValidationError, match=r"unknown key 'unit'|expected the family alexnet, "):
            model_settings({"family": "transfer", "base": base})
    with pytest.raises(ValidationError, match="expected vgg16 or vgg19"):
        model_settings({"family": "transfer", "base": "lenet", "weights_of": "imagenet"})


def _without_network(folder: str) -> None:
    os.environ |= {"KERAS_HOME": folder, "HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    build_model({"family": "transfer", "base": "vgg16", "weights_of": "imagenet"}, (32, 32, 3))


def test_weights_that_cannot_be_downloaded_are_an_error(tmp_path: Path) -> None:
    """Without network access the error names the missing weights."""
    with pytest.raises(TrainingError, match=r"imagenet weights of vgg16 cannot be loaded"):
        run_in_process(_without_network, str(tmp_path))


def _frozen_base_outputs() -> list[bool]:
    """Return whether a frozen base has the same outputs in training, and whether any of its layers is trainable."""
    import keras

    base = {"family": "cnn", "filters": [4, 4], "spatial_dropout": 0.5, "batch_norm": True}
    model = build_model({"family": "transfer", "base": base}, SHAPES["image"])
    trunk = model.get_layer("base")
    x = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    inference, training_mode = (keras.ops.convert_to_numpy(trunk(x, training=training)) for training in (False, True))
    return [
        bool(np.array_equal(inference, training_mode)),
        any(layer.trainable for layer in trunk.layers if layer.weights),
    ]


def test_dropout_is_off_inside_a_frozen_base() -> None:
    """A frozen base works as in inference while the layers after it are trained."""
    assert run_in_process(_frozen_base_outputs) == [True, False]
