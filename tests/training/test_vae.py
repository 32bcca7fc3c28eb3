"""Training of variational autoencoders: the terms of the bound, random layers, warm-up, resuming, and task files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT, edit_task, fetch_raw, kill_training_when, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.modeling.inference.predictor import version
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

NAME = "vae_digits"
QUICK = {"train.epochs": 4, "train.patience": None, "model.warm_up": 2}


def write_vae(workspace: Workspace, **changes: Any) -> None:
    """Write the task of the catalogue with some changes."""
    shutil.copy(ROOT / "tasks" / f"{NAME}.yaml", workspace.task_file(NAME))
    edit_task(workspace, NAME, {name.replace("__", "."): value for name, value in changes.items()})


def _array(values: list[list[float]]) -> Array:
    return np.array(values, dtype=np.float32)


def _terms() -> dict[str, list[float]]:
    """Return the terms of the bound for rows worked by hand."""
    from tiltyard.training.samplers.vae import cross_entropy, divergence

    pixels, logits = _array([[1.0, 0.0], [1.0, 1.0]]), _array([[0.0, 0.0], [100.0, -100.0]])
    mean, spread = _array([[0.0, 0.0], [1.0, 2.0]]), _array([[0.0, 0.0], [0.0, np.log(4.0)]])
    return {
        "reconstruction": np.asarray(cross_entropy(pixels, logits)).tolist(),
        "kl": np.asarray(divergence(mean, spread)).tolist(),
    }


def test_terms_of_the_bound_are_those_of_the_formulas() -> None:
    """Two fair pixels cost 2 log 2; a prior costs nothing; a shifted, wider normal ((1) + (4 + 4 - 1 - log 4)) / 2."""
    found = run_in_process(_terms)
    assert found["reconstruction"] == pytest.approx([2 * np.log(2), 100.0], rel=1e-5)
    assert found["kl"] == pytest.approx([0.0, (1 + 7 - np.log(4)) / 2], rel=1e-5)


def _random_layers() -> dict[str, Any]:
    """Return what the random layers draw, and the weights of a warm-up."""
    import keras

    from tiltyard.training.samplers.vae import Binarise, DrawCode, WarmUp

    grey = np.full((2000, 4), 0.25, dtype=np.float32)
    binary, again = (np.asarray(Binarise(seed)(grey)) for seed in (0, 0))
    layer = Binarise(0)
    first, second = np.asarray(layer(grey)), np.asarray(layer(grey))
    sharp = np.asarray(Binarise(1)(_array([[0.0, 1.0]] * 50)))
    code = np.asarray(DrawCode(0)([np.full((4000, 1), 3.0, np.float32), np.full((4000, 1), np.log(4.0), np.float32)]))
    warm = WarmUp(4)
    ones = keras.ops.ones((1,))
    weights = [float(np.asarray(warm(ones, training=True))[0]) for _ in range(6)]
    return {
        "mean": float(binary.mean()),
        "values": np.unique(binary).tolist(),
        "repeated": bool((binary == again).all()),
        "anew": float((first != second).mean()),
        "sharp": sharp.mean(axis=0).tolist(),
        "code": [float(code.mean()), float(code.std())],
        "weights": weights,
        "tested": float(np.asarray(WarmUp(4)(ones, training=False))[0]),
        "none": float(np.asarray(WarmUp(0)(ones, training=True))[0]),
    }


def test_random_layers_draw_what_they_say() -> None:
    """Pixels are 1 as often as they are bright, anew in each call; codes have mean and deviation; the weight rises."""
    found = run_in_process(_random_layers)
    assert found["mean"] == pytest.approx(0.25, abs=0.02)
    assert (found["values"], found["repeated"], found["sharp"]) == ([0.0, 1.0], True, [0.0, 1.0])
    assert 0.3 < found["anew"] < 0.45
    assert found["code"] == pytest.approx([3.0, 2.0], abs=0.1)
    assert found["weights"] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert (found["tested"], found["none"]) == (1.0, 1.0)


def test_killed_training_continues_to_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators of pixels and codes, and the warm-up, continue where the training was killed."""
    versions = []
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        workspace = new_workspace(tmp_path / name)
        monkeypatch.chdir(workspace.root)
        write_vae(workspace)
        edit_task(workspace, NAME, QUICK)
        fetch_raw(workspace, NAME)
        prepare.prepare(workspace, loader.load(workspace, NAME))
        if name == "killed":
            _kill_after_two_epochs(workspace)
        train_tasks(workspace, NAME)
        versions.append(version(workspace.out(NAME, "train")))
    assert versions[0] == versions[1]


def _kill_after_two_epochs(workspace: Workspace) -> None:
    progress = workspace.state(NAME, "train") / "progress.json"
    kill_training_when(workspace, NAME, lambda: progress.is_file() and files.read_json(progress)["epoch"] >= 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": {"family": "autoencoder"}}, "expected one that draws samples"),
        ({"problem": "classification", "gate.metric": "accuracy"}, "expected another than a sampler"),
        ({"target": None}, "expected a target with classes; received none"),
        ({"target": {"column": "label"}}, "expected column and classes, whose labels are conditions"),
        ({"target": {"column": "label", "classes": ["a", "a"]}}, "expected each label once"),
        ({"target": {"column": "label", "classes": ["a", "b"], "unit": "m"}}, "expected column and classes"),
        ({"train.folds": 3}, "train.folds: expected none for sampling"),
        ({"train.members": 2}, "train.members: expected none for sampling"),
        ({"train.augment": {"crop": 1}}, "train.augment: expected none for sampling"),
        ({"train.tensorboard": ["embeddings"]}, "train.tensorboard: expected none for sampling"),
        ({"ensemble": [{"model": {"family": "vae"}}]}, "since samples of two models cannot be averaged"),
        ({"model.blend_references": True}, "model.blend_references: expected none for sampling"),
        ({"gate.metric": "accuracy"}, "expected one of elbo, reconstruction, kl"),
        ({"serve.max_instances": 100_000}, "serve.max_instances: expected at most 61680"),
        ({"train.loss": "mse"}, "expected binary_crossentropy"),
    ],
)
def test_settings_that_do_not_fit_are_refused(workspace: Workspace, changes: dict[str, Any], words: str) -> None:
    """The message names the key, and what was expected."""
    write_vae(workspace)
    edit_task(workspace, NAME, changes)
    with pytest.raises(TaskError) as refused:
        loader.load(workspace, NAME)
    assert words in str(refused.value.message)


def test_labels_are_conditions_not_targets(workspace: Workspace) -> None:
    """They are in the target section, but nothing predicts them; without a target there are none."""
    write_vae(workspace)
    task = loader.load(workspace, NAME)
    assert (task.labels, task.classes, len(task.target.labels)) == ([], [], 10)
    assert [*task.evaluator.metrics][:3] == ["elbo", "reconstruction", "kl"]
    edit_task(workspace, NAME, {"target": None, "model.conditional": False})
    assert loader.load(workspace, NAME).target.names == []
