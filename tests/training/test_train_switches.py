"""Switches of training, each in a task of its own, all trained in one process: what became of it shows the switch."""

from __future__ import annotations

import itertools
import shutil
from typing import Any

import numpy as np
import pytest
from workspaces import edit_task, fetch_raw, new_workspace, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.evaluation import evaluate
from tiltyard.evaluation.fold_scores import fold_scores
from tiltyard.modeling.inference import held_out
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare
from tiltyard.report.report import task_page
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

PLAIN: dict[str, Any] = {"epochs": 6, "patience": None}
SWITCHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "stopped": {"epochs": 60, "stop_at": {"accuracy": 0.6}},
    "stopped_on_training": {"epochs": 60, "stop_at": {"loss": 0.9, "on": "training"}},
    "impatient": {"epochs": 60, "patience": 3, "min_delta": 0.5},
    "accurate": {"epochs": 12, "monitor": "val_accuracy"},
    "falling": {"schedule": {"kind": "step", "factor": 0.1, "every": 2}},
    "twice": {"epochs": 4, "then": {"epochs": 30, "patience": 2, "optimizer": "sgd", "learning_rate": 2.0}},
    "weighted": {"class_weights": {"virginica": 30}},
    "mixed": {"augment": {"mixup": 0.4}},
    "mixed_again": {"augment": {"mixup": 0.4}},
    "folded": {"folds": 3},
    "several": {"members": 3},
    "blended": {"members": 3, "blend": "weighted"},
    "unwatched": {"watch": False},
    "settling": {"epochs": 20, "schedule": {"kind": "plateau", "factor": 0.1, "patience": 1}, "learning_rate": 0.2},
    "deep": {"model.units": [16] * 10, "model.activation": "sigmoid"},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Iris under each switch; not to be written to."""
    workspace = new_workspace(tmp_path_factory.mktemp("switches"))
    for name, settings in SWITCHES.items():
        shutil.copy(workspace.task_file("iris"), workspace.task_file(name))
        keys = {key if "." in key else f"train.{key}": value for key, value in {**PLAIN, **settings}.items()}
        edit_task(workspace, name, keys)
        fetch_raw(workspace, name)
        prepare.prepare(workspace, loader.load(workspace, name))
    test = workspace.out("folded", "prepare") / "test.npz"
    away = test.rename(test.with_name("away.npz"))  # folds have no business with it
    train_tasks(workspace, *SWITCHES)
    away.rename(test)
    return workspace


def _record(workspace: Workspace, name: str) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(workspace.out(name, "train") / "training.json")
    return found


def _outputs(workspace: Workspace, name: str) -> Any:
    features, truth = array_file.read_part(workspace.out("plain", "prepare") / "validation.npz")
    return Predictor.load(workspace.out(name, "train")).run(features), truth


def test_training_stops_at_the_figure_that_is_good_enough(done: Workspace) -> None:
    """It ends behind the first epoch that reaches it: validation accuracy, or the loss on training rows if asked."""
    curve = _record(done, "stopped")["history"]["val_accuracy"]
    assert curve[-1] >= 0.6 > max(curve[:-1], default=0)
    curve = _record(done, "stopped_on_training")["history"]["loss"]
    assert curve[-1] <= 0.9 < min(curve[:-1])
    assert len(curve) < 60


def test_patience_counts_what_is_better_by_enough(done: Workspace) -> None:
    """With a margin that iris never gains in an epoch, the first epoch stays the best that counts."""
    record = _record(done, "impatient")
    assert record["stopped_early"]
    curve = record["history"]["val_loss"]
    counted, waited = curve[0], 0
    for value in curve[1:]:
        counted, waited = (value, 0) if value < counted - 0.5 else (counted, waited + 1)
    assert waited == 3


def test_best_weights_go_by_the_monitored_figure(done: Workspace) -> None:
    """The first epoch with the highest validation accuracy is kept, whatever its loss."""
    record = _record(done, "accurate")
    assert record["best_epoch"] == 1 + int(np.argmax(record["history"]["val_accuracy"]))
    assert record["best_epoch"] != 1 + int(np.argmin(record["history"]["val_loss"]))


def test_a_schedule_is_in_the_history(done: Workspace) -> None:
    """The rate of each epoch is noted, and falls as it should."""
    assert _record(done, "falling")["history"]["learning_rate"][1:4:2] == pytest.approx([0.001, 0.0001], rel=0.2)
    assert "learning_rate" not in _record(done, "plain")["history"]


def test_a_plateau_lowers_the_rate_by_its_factor(done: Workspace) -> None:
    """Each time the loss was not better for an epoch."""
    history = _record(done, "settling")["history"]
    rates = history["learning_rate"]
    assert rates[-1] < 0.05
    steps = {round(after / before, 3) for before, after in itertools.pairwise(rates)}
    assert steps == {1.0, 0.1}


def test_a_deep_net_of_sigmoids_is_diagnosed(done: Workspace) -> None:
    """It learned nothing, and the record says so and why; so does the report."""
    found = _record(done, "deep")["diagnosis"]
    assert found["verdict"] == "under-fit"
    assert "expected at least 10% less" in found["reason"]
    assert found["findings"][0].startswith("vanishing gradients: that of dense is ")
    task = loader.load(done, "deep")
    evaluate.evaluate(done, task)
    written = task_page(done, task)
    assert "Vanishing gradients: that of dense is " in written
    assert '<strong class="bad">Under-fit</strong>' in written


def test_a_second_part_starts_from_the_best_of_the_first_and_says_so(done: Workspace) -> None:
    """Its start is told, its patience ends it, and the best weights of both parts are kept, not its last."""
    record = _record(done, "twice")
    curve = record["history"]["val_loss"]
    assert record["warm_start"] == {"epoch": 5, "from_epoch": 1 + int(np.argmin(curve[:4]))}
    assert 6 <= record["epochs"] == len(curve) < 34
    assert record["stopped_early"]
    assert record["best_epoch"] == 1 + int(np.argmin(curve))


def test_a_weight_makes_its_label_count(done: Workspace) -> None:
    """With thirty times the weight, a label gets more probability from rows of all kinds."""
    assert _outputs(done, "weighted")[0][:, 2].mean() > _outputs(done, "plain")[0][:, 2].mean() + 0.1


def test_mixed_labels_make_answers_less_sure(done: Workspace) -> None:
    """MixUp shows in what is learned, gives the same bytes again, and leaves the answer's shape alone."""
    once, again = (done.out(name, "train") / "model.onnx" for name in ("mixed", "mixed_again"))
    assert once.read_bytes() == again.read_bytes()
    mixed, plain = _outputs(done, "mixed")[0], _outputs(done, "plain")[0]
    assert mixed.shape == plain.shape
    assert mixed.max(axis=1).mean() < plain.max(axis=1).mean()
    history = [_record(done, name)["history"]["loss"][-1] for name in ("mixed", "plain")]
    assert history[0] > history[1]


def test_folds_judge_what_each_had_not_seen(done: Workspace) -> None:
    """A figure a fold, their mean and deviation, without the test part; the model is the one without folds."""
    folds, evaluator = done.out("folded", "train") / "folds.npz", loader.load(done, "folded").evaluator
    found = fold_scores(folds, evaluator)["accuracy"]
    assert len(found["values"]) == 3
    accurate = [(fold.outputs.argmax(axis=1) == fold.truth).mean() for fold in held_out.load(folds)]
    assert found["values"] == pytest.approx(accurate)
    assert found["mean"] == pytest.approx(np.mean(found["values"]))
    assert found["deviation"] == pytest.approx(np.std(found["values"], ddof=1))
    models = [(done.out(name, "train") / "model.onnx").read_bytes() for name in ("folded", "plain")]
    assert models[0] == models[1]


@pytest.mark.parametrize("name", ["several", "blended"])
def test_members_answer_as_one(done: Workspace, name: str) -> None:
    """One graph of three networks with seeds of their own, whose answers are probabilities as before."""
    record, plain = _record(done, name), _record(done, "plain")
    assert record["parameters"] == 3 * plain["parameters"]
    assert [member["seed"] for member in record["members"]] == [0, 1, 2]
    assert sum(member["share"] for member in record["members"]) == pytest.approx(1, abs=1e-5)
    assert -1 < record["correlation"]["mean"] < 1
    outputs, truth = _outputs(done, name)
    assert outputs.sum(axis=1) == pytest.approx(np.ones(len(truth)), abs=1e-5)
    assert record["history"] == plain["history"]  # the first member's


def test_learned_shares_are_at_least_as_good_as_equal_ones(done: Workspace) -> None:
    """On the rows by which they were learned."""
    losses = {}
    for name in ("several", "blended"):
        outputs, truth = _outputs(done, name)
        losses[name] = -np.log(outputs[np.arange(len(truth)), truth]).mean()
    assert losses["blended"] <= losses["several"] + 1e-6


def test_watching_changes_nothing(done: Workspace) -> None:
    """Looked at or not, the model is the same to the byte; only the looks are missing."""
    models = [(done.out(name, "train") / "model.onnx").read_bytes() for name in ("unwatched", "plain")]
    assert models[0] == models[1]
    assert _record(done, "plain")["diagnosis"]["snapshots"]
    found = _record(done, "unwatched")["diagnosis"]
    assert found["snapshots"] == []
    assert found["verdict"] in ("under-fit", "good fit", "over-fit")


def test_the_report_says_what_was_found(done: Workspace) -> None:
    """Verdict and reason, the curves of gradients, the second start, folds and members stand in the page."""
    for name, words in {
        "twice": ["Training", "a new optimizer and the weights of epoch", "<h3>Gradients</h3>"],
        "several": ["Ensemble members", "correlation of their errors"],
        "folded": ["Cross-validation", "3 folds of the training and validation rows"],
    }.items():
        task = loader.load(done, name)
        evaluate.evaluate(done, task)
        written = task_page(done, task)
        found = _record(done, name)["diagnosis"]
        assert found["verdict"].capitalize() in written
        for word in (*words, found["reason"].partition(":")[0]):
            assert word in written, word
