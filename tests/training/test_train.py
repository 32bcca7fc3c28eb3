"""Training: reproducible with a seed, resumed after kill -9, stopped when it diverges, and without test rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from workspaces import edit_task, fetch_raw, kill_training_when, start_training, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import DataError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare
from tiltyard.training import train
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow


def _prepared(workspace: Workspace, name: str, **changes: object) -> Path:
    edit_task(workspace, name, {f"train.{key}": value for key, value in changes.items()})
    fetch_raw(workspace, name)
    prepare.prepare(workspace, loader.load(workspace, name))
    return workspace.out(name, "train")


def _kill_after_epoch(workspace: Workspace, name: str, epoch: int, subfolder: str = "") -> None:
    """Start training and kill it with -9 after a number of epochs, of the run or of one of several fits."""
    progress = workspace.state(name, "train") / subfolder / "progress.json"
    kill_training_when(
        workspace, name, lambda: progress.is_file() and json.loads(progress.read_bytes())["epoch"] >= epoch
    )


MOVED = {"crop": 1, "rotation": 10, "flip": "horizontal"}
AUGMENT = {**MOVED, "brightness": 0.1, "contrast": 0.1, "noise": 0.05, "erasing": 0.2, "mixup": 0.2}
ACCURATE = {"monitor": "val_accuracy"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("iris", {"schedule": "plateau"}),
        pytest.param(
            "digits", {"schedule": "plateau", "augment": AUGMENT}, marks=[pytest.mark.smoke, pytest.mark.nightly]
        ),
        pytest.param("iris", {"schedule": "one_cycle", "optimizer": "nesterov", **ACCURATE}, marks=pytest.mark.smoke),
    ],
)
def test_killed_run_resumes_to_the_same_result(workspace: Workspace, name: str, settings: dict[str, object]) -> None:
    """After two kills with -9, training ends with the same ONNX file, history and best epoch as without."""
    out = _prepared(workspace, name, **{"epochs": 14, "patience": 3, "learning_rate": 0.02, **settings})
    train_tasks(workspace, name)
    uninterrupted = files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()
    (out / "training.json").unlink()
    _kill_after_epoch(workspace, name, 2)
    _kill_after_epoch(workspace, name, 4)
    assert not (out / "training.json").exists()
    train_tasks(workspace, name)
    assert (files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()) == uninterrupted
    assert not workspace.state(name, "train").exists()


def test_killed_blend_resumes_to_the_same_version(workspace: Workspace) -> None:
    """The state of the network is valid with references, and their weights are the same after a kill."""
    edit_task(workspace, "iris", {"model.blend_references": True})
    out = _prepared(workspace, "iris", epochs=14, patience=3, learning_rate=0.02)
    train_tasks(workspace, "iris")
    uninterrupted = files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()
    _kill_after_epoch(workspace, "iris", 4)
    train_tasks(workspace, "iris")
    assert (files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()) == uninterrupted


@pytest.mark.smoke
@pytest.mark.nightly
def test_kill_during_one_of_several_fits_resumes_to_the_same_result(workspace: Workspace) -> None:
    """Killed in a fold, in a member and in a second phase, training ends with the same record and file as without."""
    several = {"folds": 2, "members": 2, "epochs": 5, "then": {"epochs": 5, "learning_rate": 0.001}}
    out = _prepared(workspace, "iris", **several, patience=None)
    train_tasks(workspace, "iris")
    uninterrupted = files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()
    assert uninterrupted[0]["warm_start"]["epoch"] == 6
    _kill_after_epoch(workspace, "iris", 3, "fold-2/member-1")
    _kill_after_epoch(workspace, "iris", 4, "member-1")
    kill_training_when(workspace, "iris", (workspace.state("iris", "train") / "member-2" / "state-2.npz").is_file)
    train_tasks(workspace, "iris")
    assert (files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()) == uninterrupted


def test_early_stopping_state_survives_a_kill(workspace: Workspace) -> None:
    """A run killed while patience runs out stops at the same epoch and keeps the same best weights."""
    out = _prepared(workspace, "diabetes", epochs=60, patience=6, learning_rate=0.03)
    train_tasks(workspace, "diabetes")
    record = files.read_json(out / "training.json")
    assert record["stopped_early"]
    files.write_json(workspace.root / "before.json", record)
    _kill_after_epoch(workspace, "diabetes", record["best_epoch"] + 2)
    train_tasks(workspace, "diabetes")
    assert files.read_json(out / "training.json") == record


def test_state_of_other_settings_is_not_resumed(workspace: Workspace) -> None:
    """After a kill and a change of the task file, training starts from the beginning."""
    out = _prepared(workspace, "iris", epochs=8)
    _kill_after_epoch(workspace, "iris", 3)
    edit_task(workspace, "iris", {"train.learning_rate": 0.02})
    train_tasks(workspace, "iris")
    resumed = (out / "model.onnx").read_bytes()
    train_tasks(workspace, "iris")
    assert (out / "model.onnx").read_bytes() == resumed


def test_diverged_run_stops_with_an_error(workspace: Workspace) -> None:
    """A learning rate far too high ends in a TrainingError that names it, and leaves no model."""
    out = _prepared(workspace, "diabetes", epochs=50, optimizer="sgd", learning_rate=1e6, clip_norm=None)
    process = start_training(workspace, "diabetes")
    process.join(120)
    assert process.exitcode == 1
    error = (workspace.root / "error.txt").read_text()
    assert "TrainingError: training diverged in epoch" in error
    assert "; NaN or infinite values: the weights of dense, dense_1, output at epoch 1" in error
    assert not out.exists()


def test_batch_larger_than_the_training_rows_is_refused(workspace: Workspace) -> None:
    """The actual number of rows counts, not the expected one, and it is checked before heavy imports."""
    _prepared(workspace, "iris")
    path = workspace.out("iris", "prepare") / "train.npz"
    features, truth = array_file.read_part(path)
    np.savez(path, features=features[:8], truth=truth[:8])
    with pytest.raises(DataError, match=r"train\.batch_size: expected 1 to 8, the training rows; received 16"):
        train.train(workspace, loader.load(workspace, "iris"))


def test_training_does_not_use_test_rows(workspace: Workspace) -> None:
    """The model is the same to the byte when the test part does not exist."""
    out = _prepared(workspace, "iris", epochs=3)
    train_tasks(workspace, "iris")
    with_test = (out / "model.onnx").read_bytes()
    (workspace.out("iris", "prepare") / "test.npz").unlink()
    train_tasks(workspace, "iris")
    assert (out / "model.onnx").read_bytes() == with_test


def test_balanced_class_weights_raise_the_probability_of_a_rare_class(workspace: Workspace) -> None:
    """With one class made rare, balanced weights give it more probability than plain ones."""
    out = _prepared(workspace, "iris", epochs=10)
    path = workspace.out("iris", "prepare") / "train.npz"
    features, truth = array_file.read_part(path)
    keep = np.flatnonzero((truth != 2) | (np.cumsum(truth == 2) <= 4))
    np.savez(path, features=features[keep], truth=truth[keep])
    train_tasks(workspace, "iris")
    plain = Predictor.load(out).run(features)[truth == 2, 2].mean()
    edit_task(workspace, "iris", {"train.class_weights": "balanced"})
    train_tasks(workspace, "iris")
    assert Predictor.load(out).run(features)[truth == 2, 2].mean() > plain + 0.05
