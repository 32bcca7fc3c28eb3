"""Ensembles of several families and of parts of the training rows: one file, one version, resumed after a kill."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from workspaces import edit_task, fetch_raw, kill_training_when, new_workspace, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.ensemble_section import member_tasks
from tiltyard.errors import TaskError
from tiltyard.evaluation import evaluate
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.pipelines.smoke import shrink_task
from tiltyard.preparation import array_file, prepare
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.report.report import task_page
from tiltyard.serving.packaging import model_card
from tiltyard.training import ensemble
from tiltyard.training.member_rows import rows_by_member
from tiltyard.workspace import Workspace

FAMILIES: list[dict[str, Any]] = [
    {"model": {"family": "tabm", "members": 2, "units": [16]}, "train": {"epochs": 8, "learning_rate": 0.002}},
    {"model": {"family": "realmlp", "units": [16]}, "train": {"optimizer": "rmsprop"}},
]
SHORT: dict[str, Any] = {"train.epochs": 6, "train.patience": None}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "families": ("iris", {"ensemble": FAMILIES}),
    "weighted": ("iris", {"ensemble": FAMILIES, "train.blend": "weighted", "train.members": 2}),
    "bootstrap": ("diabetes", {"train.members": 3, "train.member_rows": "bootstrap"}),
    "folds": ("iris", {"train.members": 3, "train.member_rows": "folds", "train.folds": 2}),
    "series": ("sine", {"train.members": 2, "train.member_rows": "folds", "train.epochs": 1}),
}


def _add(workspace: Workspace, name: str, source: str, changes: dict[str, Any]) -> None:
    """Add a task that is like another one with these changes, and prepare its rows."""
    shutil.copy(workspace.task_file(source), workspace.task_file(name))
    edit_task(workspace, name, {**SHORT, **changes})
    fetch_raw(workspace, name)
    prepare.prepare(workspace, loader.load(workspace, name))


@pytest.fixture(scope="module")
def trained_tasks(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A task for each case, trained; read-only."""
    workspace = new_workspace(tmp_path_factory.mktemp("ensembles"))
    for name, (source, changes) in CASES.items():
        _add(workspace, name, source, changes)
    for name in CASES:  # each has a time limit of its own
        train_tasks(workspace, name)
    return workspace


def _record(workspace: Workspace, name: str) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(workspace.out(name, "train") / "training.json")
    return found


@pytest.mark.slow
def test_families_are_one_file(trained_tasks: Workspace) -> None:
    """The file holds all families; each has its own settings, seed, share and loss, and Keras agrees with ONNX."""
    record = _record(trained_tasks, "families")
    assert [member["family"] for member in record["members"]] == ["mlp", "tabm", "realmlp"]
    assert [member["seed"] for member in record["members"]] == [0, 1, 2]
    assert [member["epochs"] for member in record["members"]] == [6, 8, 6]
    assert [member["share"] for member in record["members"]] == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert np.shape(record["correlation"]["table"]) == (3, 3)
    assert record["parity"] < 1e-4
    features, truth = array_file.read_part(trained_tasks.out("families", "prepare") / "validation.npz")
    outputs = Predictor.load(trained_tasks.out("families", "train")).run(features)
    assert outputs.sum(axis=1) == pytest.approx(np.ones(len(truth)), abs=1e-5)
    loss = -np.log(outputs[np.arange(len(truth)), truth]).mean()
    assert record["members_mean"] == {"loss": pytest.approx(loss, rel=1e-3), "validation_rows": len(truth)}
    assert loss <= max(member["loss"] for member in record["members"])  # the log loss is convex


@pytest.mark.slow
def test_learned_shares_leave_out_small_members(trained_tasks: Workspace) -> None:
    """Shares sum to 1 and are 0 or at least the smallest; members with several seeds come first."""
    record = _record(trained_tasks, "weighted")
    shares = [member["share"] for member in record["members"]]
    assert [member["family"] for member in record["members"]] == ["mlp", "mlp", "tabm", "realmlp"]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert all(share == 0 or share >= 0.05 for share in shares)
    assert record["members_mean"]["loss"] <= min(member["loss"] for member in record["members"]) + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bootstrap", "folds", "series"])
def test_members_learn_parts_of_the_rows(trained_tasks: Workspace, name: str) -> None:
    """The record has the training rows of each member: as many as there are, or those outside its fold."""
    found = [member["rows"] for member in _record(trained_tasks, name)["members"]]
    total = files.read_json(trained_tasks.out(name, "prepare") / "split.json")["rows"]["train"]
    if name == "bootstrap":
        assert found == [total] * 3
    else:
        assert sum(total - count for count in found) == total
        assert max(found) - min(found) <= 3


@pytest.mark.slow
def test_folds_of_an_ensemble_are_evaluated_by_all_members(trained_tasks: Workspace) -> None:
    """Cross-validation trains all members for each fold, so its figures are those of the ensemble."""
    logs = {path.name for path in trained_tasks.logs("folds").iterdir()}
    assert len(logs) == 3 + 2 * 3


@pytest.mark.slow
def test_report_and_card_show_each_member(trained_tasks: Workspace) -> None:
    """The page has a row for each member and the correlation of each pair, and the card lists the members."""
    task = loader.load(trained_tasks, "families")
    evaluate.evaluate(trained_tasks, task)
    page = task_page(trained_tasks, task)
    for words in ("Ensemble members", "<td>realmlp</td>", "Loss of their mean", "member 3"):
        assert words in page, words
    record, report = _record(trained_tasks, "families"), trained_tasks.out("families", "evaluate") / "report.json"
    text = model_card.card(task, files.read_json(report), record, {})
    loss = record["members"][1]["loss"]
    assert f"0.33 tabm (seed 1, loss {loss:.4g})" in text
    assert "mean correlation of their errors" in text


def _rows(workspace: Workspace, name: str) -> list[TrainingRows]:
    parts = TrainingRows.load(workspace.out(name, "prepare"))
    task = loader.load(workspace, name)
    return [*rows_by_member(task, parts, len(member_tasks(task)))]


@pytest.mark.slow
def test_parts_are_reproducible_and_keep_each_label(trained_tasks: Workspace) -> None:
    """Folds leave each row out once; samples differ by member, repeat by seed, and have each label as often."""
    whole = TrainingRows.load(trained_tasks.out("folds", "prepare"))
    parts = _rows(trained_tasks, "folds")
    assert len({part.digest for part in parts}) == 3
    lacking = [{*map(bytes, whole.train[0][:])} - {*map(bytes, part.train[0][:])} for part in parts]
    assert set.union(*lacking) == {*map(bytes, whole.train[0][:])}
    assert not lacking[0] & lacking[1]
    edit_task(trained_tasks, "folds", {"train.member_rows": "bootstrap"})
    first, again = _rows(trained_tasks, "folds"), _rows(trained_tasks, "folds")
    assert np.array_equal(first[1].train[0][:], again[1].train[0][:])
    assert not np.array_equal(first[0].train[0][:], first[1].train[0][:])
    for part in first:
        assert np.array_equal(np.bincount(part.train[1]), np.bincount(whole.train[1]))
        assert len(np.unique(part.train[0][:], axis=0)) < 0.8 * len(whole.train[1])


@pytest.mark.slow
@pytest.mark.smoke
def test_killed_ensemble_keeps_finished_members(trained_tasks: Workspace) -> None:
    """Killed in the last member, training ends with the same bytes, and does not train the first ones again."""
    out, state = trained_tasks.out("families", "train"), trained_tasks.state("families", "train")
    before = _record(trained_tasks, "families"), (out / "model.onnx").read_bytes()
    kill_training_when(trained_tasks, "families", (state / "member-3" / "state.npz").is_file)
    written = (state / "member-1" / "state.npz").stat().st_mtime_ns
    kill_training_when(trained_tasks, "families", (state / "member-3" / "state.npz").is_file)
    assert (state / "member-1" / "state.npz").stat().st_mtime_ns == written
    train_tasks(trained_tasks, "families")
    assert (_record(trained_tasks, "families"), (out / "model.onnx").read_bytes()) == before


def test_smoke_run_shortens_each_member(workspace: Workspace) -> None:
    """A smoke run trains each member for one epoch, with its own optimizer and rate."""
    edit_task(workspace, "iris", {"ensemble": FAMILIES})
    short = shrink_task(loader.load(workspace, "iris"))
    trains = [task.train for task in member_tasks(short)]
    assert [train.epochs for train in trains] == [1, 1, 1]
    assert (trains[1].rate, trains[2].optimizer) == (0.002, "rmsprop")


def test_a_study_may_vary_members(workspace: Workspace) -> None:
    """The whole list, or a setting of one member, is another task; runs of a study are told apart by it."""
    name = loader.load_with(workspace, "iris", {"ensemble": FAMILIES, "ensemble.1.train.optimizer": "sgd"})
    assert [member.train.optimizer for member in name.ensemble] == [None, "sgd"]


def test_small_shares_are_left_out() -> None:
    """The others are scaled; if all are small, all stay."""
    assert ensemble.without_small([0.6, 0.37, 0.03], 0.05) == pytest.approx([0.618557, 0.381443, 0], abs=1e-6)
    assert ensemble.without_small([0.04] * 25, 0.05) == [0.04] * 25


def test_equal_errors_have_no_correlation() -> None:
    """Members whose errors are the same in all rows give 0 instead of NaN, which JSON does not have."""
    outputs = np.ones((2, 5, 1), dtype=np.float32)
    assert ensemble.correlation(outputs, np.zeros(5, dtype=np.float32))["mean"] == 0


MLP = {"family": "mlp"}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("iris", {"ensemble": [{"model": {"family": "cnn"}}]}, r"ensemble.0.model.family: cnn takes image; received table"),
    ("iris", {"ensemble": [{"model": {"family": "reference"}}]}, r"expected one that Keras trains \(blend_references"),
    ("iris", {"ensemble": [{"model": MLP, "train": {"loss": "mae"}}]}, r"ensemble.0.train.loss: expected sparse_"),
    ("iris", {"ensemble": [{"model": MLP, "train": {"batch_size": 500}}]}, r"ensemble.0.train.batch_size: expected 1"),
    ("iris", {"ensemble": [{"model": MLP, "train": {"momentum": 0.5}}]}, r"ensemble.0.train.momentum: expected for"),
    ("iris", {"ensemble": [{"model": {**MLP, "blend_references": True}}]}, "expected blend_references only of the"),
    ("iris", {"ensemble": [{"model": MLP}], "train.restarts": 2, "train.stop_at": {"loss": 1}}, "expected none with"),
    (
        "iris",
        {"ensemble": [{"model": MLP}], "model": {"family": "reference"}},
        "ensemble: expected none for the",
    ),
    ("iris", {"ensemble": [{"model": MLP, "train": {"seed": 3}}]}, "unknown key 'seed'"),
    ("digits", {"ensemble": [{"model": {"family": "transfer", "base": "iris"}}]}, "expected a base task only of the"),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED)
def test_members_that_do_not_fit_are_refused(
    workspace: Workspace, name: str, changes: dict[str, Any], message: str
) -> None:
    """Each error names the member, its key, the expected and the received value."""
    edit_task(workspace, name, changes)
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, name)


def test_a_task_without_an_ensemble_does_not_write_its_keys(workspace: Workspace) -> None:
    """The parameters of earlier verdicts stay the same."""
    content = loader.load(workspace, "digits").model_dump(mode="json")
    assert "ensemble" not in content
    assert "member_rows" not in content["train"]
    assert "blur" not in content["train"]["augment"]
