"""Training of clusterings: labels play no part, refinement sharpens memberships, killed runs resume, both backends."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import yaml
from model_families import needs_jax
from sklearn.datasets import make_blobs
from workspaces import kill_training_when, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.partitions import adjusted_rand_index
from tiltyard.modeling.problems.clustering import CLUSTERS
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

NAMES = ["a", "b", "c", "d", "e"]
DEEP = {"family": "deep_clustering", "clusters": 4, "units": [16], "code": 2, "refine": {"epochs": 6}}
TASK: dict[str, Any] = {
    "title": "Groups",
    "problem": "clustering",
    "source": {"kind": "file", "path": "groups.csv"},
    "rows": [100, 10000],
    "columns": {name: {"type": "number"} for name in NAMES},
    "target": {"column": "group", "classes": ["0", "1", "2", "3"]},
    "split": {"kind": "random"},
    "model": {"family": "kmeans", "clusters": 4},
    "train": {"epochs": 20, "batch_size": 32, "learning_rate": 0.01},
    "gate": {"metric": "ari"},
    "serve": {"example": dict.fromkeys(NAMES, 0.5)},
}


def _prepared(workspace: Workspace, *, shuffled: bool = False, name: str = "groups", **changes: Any) -> None:
    """Write a table of four groups, and prepare the task; labels may be shuffled."""
    rows, group = make_blobs(400, 5, centers=4, cluster_std=1.0, random_state=3)
    group = np.random.default_rng(0).permutation(group) if shuffled else group
    lines = [",".join([*map("{:.4f}".format, row), str(label)]) for row, label in zip(rows, group, strict=True)]
    workspace.raw(name).mkdir(parents=True, exist_ok=True)
    files.write_text(workspace.raw(name) / "table.csv", "\n".join([",".join([*NAMES, "group"]), *lines, ""]))
    files.write_text(workspace.task_file(name), yaml.safe_dump({**TASK, **changes}))
    prepare.prepare(workspace, loader.load(workspace, name), reseal=True)


def _outputs(workspace: Workspace, name: str = "groups") -> tuple[Array, Array]:
    """Return truth and outputs of the sealed rows."""
    task, predictor = loader.load(workspace, name), Predictor.load(workspace.out(name, "train"))
    test = read_test(workspace, name, task.columns)
    return test.truth, predictor.outputs(test.rows)


@pytest.mark.parametrize("model", [TASK["model"], DEEP], ids=["kmeans", "deep"])
def test_labels_play_no_part(workspace: Workspace, model: dict[str, Any]) -> None:
    """With shuffled labels the model is the same, byte for byte; with the true ones, it has found the groups."""
    _prepared(workspace, model=model)
    train_tasks(workspace, "groups")
    onnx = (workspace.out("groups", "train") / "model.onnx").read_bytes()
    truth, outputs = _outputs(workspace)
    assert adjusted_rand_index(truth, outputs[:, :4].argmax(axis=1)) > 0.9
    assert outputs[:, :4].sum(axis=1) == pytest.approx(1, abs=1e-5)
    _prepared(workspace, model=model, shuffled=True)
    train_tasks(workspace, "groups")
    assert (workspace.out("groups", "train") / "model.onnx").read_bytes() == onnx


def test_encoder_knows_the_mean_rows(workspace: Workspace) -> None:
    """Their values are means of training rows in the units of the file, and their counts add up to all of these."""
    _prepared(workspace)
    train_tasks(workspace, "groups")
    predictor = Predictor.load(workspace.out("groups", "train"))
    known = predictor.encoder.target[CLUSTERS]
    with np.load(workspace.out("groups", "prepare") / "train.npz") as train:
        features = train["features"]
    cluster = predictor.run(features.astype(np.float32))[:, :4].argmax(axis=1)
    assert [each["rows"] for each in known] == np.bincount(cluster, minlength=4).tolist()
    for number, each in enumerate(known):
        mean = features[cluster == number].mean(axis=0)
        assert [*each["mean"].values()] == pytest.approx(mean.tolist(), rel=1e-3, abs=1e-3)


def test_distances_are_those_of_the_mean_row(workspace: Workspace) -> None:
    """A client who sends the mean row of a cluster gets this cluster, and a distance of 0."""
    _prepared(workspace)
    train_tasks(workspace, "groups")
    predictor = Predictor.load(workspace.out("groups", "train"))
    for number, each in enumerate(predictor.encoder.target[CLUSTERS]):
        (answer,) = predictor.respond(predictor.encoder.parse([each["mean"]]))
        assert answer["cluster"] == number
        assert answer["distance"] < 0.01


def test_refinement_is_recorded_and_resumed(workspace: Workspace) -> None:
    """After kill -9 in the refinement, the ONNX file and the record are those of an uninterrupted training."""
    _prepared(workspace, model={**DEEP, "refine": {"epochs": 30, "tolerance": 0}})
    train_tasks(workspace, "groups")
    out = workspace.out("groups", "train")
    expected, onnx = files.read_json(out / "training.json"), (out / "model.onnx").read_bytes()
    assert len(expected["refinement"]["loss"]) == len(expected["refinement"]["changed"]) == 30
    assert expected["parity"] < 1e-4
    (out / "training.json").unlink()
    kill_training_when(workspace, "groups", (workspace.state("groups", "train") / "refinement.npz").is_file)
    train_tasks(workspace, "groups")
    assert files.read_json(out / "training.json") == expected
    assert (out / "model.onnx").read_bytes() == onnx


def test_refinement_can_be_left_out(workspace: Workspace) -> None:
    """Without epochs the clusters are those of k-means on codes."""
    _prepared(workspace, model={**DEEP, "refine": {"epochs": 0}})
    train_tasks(workspace, "groups")
    assert "refinement" not in files.read_json(workspace.out("groups", "train") / "training.json")
    truth, outputs = _outputs(workspace)
    assert adjusted_rand_index(truth, outputs[:, :4].argmax(axis=1)) > 0.9


def _diverged(root: str) -> str:
    from tiltyard.errors import TrainingError
    from tiltyard.training import train

    space = Workspace(root)  # type: ignore[arg-type]
    with pytest.raises(TrainingError) as raised:
        train.train(space, loader.load(space, "groups"))
    return f"{raised.value.message}; {raised.value.hint}"


def test_diverged_refinement_is_an_error(workspace: Workspace) -> None:
    """It names the setting to lower."""
    _prepared(workspace, model={**DEEP, "refine": {"epochs": 6, "learning_rate": 1e30}})
    text = run_in_process(_diverged, workspace.root)
    assert "refinement diverged in epoch 1: expected a finite loss" in text
    assert "lower model.refine.learning_rate (now 1e+30)" in text


def _sharper() -> list[Any]:
    from tiltyard.training import cluster_refinement

    members = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    return [members.tolist(), cluster_refinement.sharper(members).tolist()]


def test_targets_are_sharper_memberships() -> None:
    """They are squares divided by the sizes of clusters, as the paper of DEC defines them."""
    members, found = (np.array(part) for part in run_in_process(_sharper))
    weights = members**2 / members.sum(axis=0)
    assert found == pytest.approx(weights / weights.sum(axis=1, keepdims=True), rel=1e-5)
    assert (np.abs(found - 0.5) >= np.abs(members - 0.5) - 0.05).all()


@pytest.mark.jax
@needs_jax
def test_jax_clusters_as_well(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both families train under JAX, and find the groups."""
    space = new_workspace(tmp_path_factory.mktemp("jax"))
    monkeypatch.chdir(space.root)
    for model in (TASK["model"], DEEP):
        _prepared(space, model=model)
        code = "from tiltyard.cli.main import main; main()"
        env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", code, "train", "groups"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        truth, outputs = _outputs(space)
        assert adjusted_rand_index(truth, outputs[:, :4].argmax(axis=1)) > 0.9


def _far_distances() -> list[list[float]]:
    import keras

    from tiltyard.training.clustering import squared_distances

    rows, centres = (np.array(part, dtype=np.float32) + 10_000 for part in ([[0, 1], [2, 3]], [[0, 0], [4, 4]]))
    inputs = keras.Input((2,))
    model = keras.Model(inputs, squared_distances(inputs, centres, 1.0))
    distances: list[list[float]] = np.asarray(model(rows)).tolist()
    return distances


@pytest.mark.slow
def test_distances_far_from_zero_are_exact() -> None:
    """Squares of large features would leave only rounding of their differences, which then depends on the batch."""
    assert run_in_process(_far_distances) == [[1, 25], [13, 5]]
