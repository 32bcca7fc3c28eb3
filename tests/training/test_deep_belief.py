"""Deep belief networks: layers start from trained machines, rows without labels are used, and test rows are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from workspaces import edit_task, fetch_raw, kill_training_when, run_in_process, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.modeling.models.dbn import Dbn
from tiltyard.preparation import base_rows, prepare
from tiltyard.preparation.training_rows import UNLABELLED, TrainingRows
from tiltyard.report.sections.training import training_sections
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

MODEL = {"family": "dbn", "units": [24, 16], "pretrain": {"epochs": 8, "batch_size": 20}}
FEW = {"split.training_rows": 300, "split.unlabelled": True}
TRAIN = {"train.epochs": 2, "train.patience": None, "train.augment": None, "train.schedule": "constant"}


def _prepared(workspace: Workspace, **changes: Any) -> dict[str, Any]:
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    edit_task(workspace, "digits", {"search": None, "model": MODEL, **TRAIN, **settings})
    fetch_raw(workspace, "digits")
    return prepare.prepare(workspace, loader.load(workspace, "digits"))


def _record(workspace: Workspace) -> dict[str, Any]:
    train_tasks(workspace, "digits")
    record: dict[str, Any] = files.read_json(workspace.out("digits", "train") / "training.json")
    return record


def _opened(workspace: Workspace) -> TrainingRows:
    return TrainingRows.load(workspace.out("digits", "prepare"))


def test_rows_without_labels_are_no_validation_or_test_rows(workspace: Workspace) -> None:
    """They are all other rows and the training rows; their labels are not written, and the test part is the same."""
    whole = _prepared(workspace)
    test = files.read_json(workspace.out("digits", "prepare") / "split.json")["test"]
    facts = _prepared(workspace, **{key.replace(".", "__"): value for key, value in FEW.items()})
    assert facts["test"] == test
    assert facts["rows"]["train"] + facts["rows"]["validation"] == 300
    learned = whole["rows"]["train"] + whole["rows"]["validation"]
    assert facts["unlabelled"] == learned - facts["rows"]["validation"]
    rows = _opened(workspace)
    assert rows.unlabelled is not None
    known = {picture.tobytes() for picture in rows.unlabelled[:]}
    assert {picture.tobytes() for picture in rows.train[0][:]} <= known
    assert not {picture.tobytes() for picture in rows.validation[0][:]} & known
    with np.load(workspace.out("digits", "prepare") / "test.npz") as test_part:
        assert not {picture.astype(rows.unlabelled.dtype).tobytes() for picture in test_part["column:image"]} & known
    with np.load(workspace.out("digits", "prepare") / UNLABELLED) as part:
        assert part.files == ["features"]
    with np.load(workspace.out("digits", "prepare") / base_rows.FILE) as hashes:
        assert len(hashes["train"]) == facts["unlabelled"]


def test_machines_learn_from_rows_without_labels(workspace: Workspace) -> None:
    """The record has both machines, on all training rows, and errors that fall; the file passes parity."""
    facts = _prepared(workspace, **{key.replace(".", "__"): value for key, value in FEW.items()})
    record = _record(workspace)
    pretraining = record["pretraining"]
    assert pretraining["rows"] == facts["unlabelled"]
    assert [(machine["visible"], machine["hidden"]) for machine in pretraining["machines"]] == [(64, 24), (24, 16)]
    for machine in pretraining["machines"]:
        assert machine["history"]["error"][-1] == machine["error"] < machine["history"]["error"][0]
        assert len(machine["history"]["val_free_energy"]) == 8
    assert record["parity"] < 1e-4
    sections = {one.title: one.content for one in training_sections(loader.load(workspace, "digits"), {}, record)}
    shown = sections["Restricted Boltzmann machines"]
    assert f"on {facts['unlabelled']:,} rows without labels" in shown
    assert "Free energy of validation rows" in shown


def _first_weights(root: str) -> list[Any]:
    """Return the weights that hidden layers have before any label is used, and those of the machines."""
    import keras

    from tiltyard.training import deep_belief, network

    space = Workspace(root)  # type: ignore[arg-type]
    task, rows = loader.load(space, "digits"), TrainingRows.load(space.out("digits", "prepare"))
    assert isinstance(task.model, Dbn)
    found = []
    for name in ("one", "two"):
        keras.utils.set_random_seed(0)
        body = network.build_core(task, rows.encoder, rows.train[0])
        folder = space.state("digits", name)
        folder.mkdir(parents=True)
        deep_belief.pretrain(task, rows, (folder, "digits"), body)
        found.append([[np.array(weight) for weight in layer.weights] for layer in task.model.hidden_layers(body)])
        with np.load(folder / "rbm-2.npz") as state:
            found[-1].append([state["rbm_weights"], state["rbm_hidden_bias"]])
    return found


def test_layers_have_the_weights_of_machines(workspace: Workspace) -> None:
    """Weights and hidden biases are copied, and the same seed gives the same ones."""
    _prepared(workspace)
    one, two = run_in_process(_first_weights, workspace.root)
    for ours, machine in zip(one[1], one[2], strict=True):
        assert np.array_equal(ours, machine)
    for ours, again in zip(one, two, strict=True):
        assert all(np.array_equal(left, right) for left, right in zip(ours, again, strict=True))


def test_killed_pre_training_resumes_to_the_same_result(workspace: Workspace) -> None:
    """After kill -9 in the second machine, the ONNX file is that of an uninterrupted training."""
    _prepared(workspace, model__pretrain={"epochs": 30, "batch_size": 20})
    expected, out = _record(workspace), workspace.out("digits", "train")
    onnx = (out / "model.onnx").read_bytes()
    (out / "training.json").unlink()
    kill_training_when(workspace, "digits", (workspace.state("digits", "train") / "rbm-2.npz").is_file)
    assert _record(workspace) == expected
    assert (out / "model.onnx").read_bytes() == onnx


def test_seeds_and_zero_epochs(workspace: Workspace) -> None:
    """Another seed gives other machines; without epochs there are none, and the network is the usual one."""
    _prepared(workspace)
    first = _record(workspace)
    edit_task(workspace, "digits", {"train.seed": 1})
    second = _record(workspace)
    assert first["pretraining"] != second["pretraining"]
    edit_task(workspace, "digits", {"model.pretrain": {"epochs": 0}})
    none = _record(workspace)
    assert "pretraining" not in none
    assert none["parameters"] == first["parameters"] == 64 * 24 + 24 + 24 * 16 + 16 + 16 * 10 + 10


def test_a_table_has_gaussian_units(workspace: Workspace) -> None:
    """Standardised numbers are learned, and bernoulli units are refused for them."""
    edit_task(workspace, "iris", {"model": {**MODEL, "pretrain": {"epochs": 3}}, "train.epochs": 2})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    train_tasks(workspace, "iris")
    record = files.read_json(workspace.out("iris", "train") / "training.json")
    assert record["pretraining"]["machines"][0]["error"] < 3
    edit_task(workspace, "iris", {"model.pretrain.visible": "bernoulli"})
    with pytest.raises(TaskError, match=r"model.pretrain.visible: expected gaussian for columns of a table"):
        loader.load(workspace, "iris")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split.unlabelled": True}, "unlabelled: expected with training_rows, which leaves some out; received none"),
        ({**FEW, "model": {"family": "mlp"}}, "split.unlabelled: expected false for mlp, which needs labels"),
        ({"model.batch_norm": True}, "batch_norm: expected false, since it would change what pre-training has learned"),
    ],
)
def test_settings_that_do_not_fit_are_refused(workspace: Workspace, changes: dict[str, Any], message: str) -> None:
    """Nothing is asked for that would not be done."""
    edit_task(workspace, "digits", {"search": None, "model": MODEL, **changes})
    with pytest.raises((TaskError, ValidationError), match=message):
        loader.load(workspace, "digits")
