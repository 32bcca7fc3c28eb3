"""Settings of training, each in a separate task, all trained in one process; the outcome shows their effect."""

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
from tiltyard.evaluation.evaluate import fold_scores
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
    "smoothed": {"label_smoothing": 0.5},
    "table_members": {"model.family": "tabm", "model.members": 4, "model.units": [16], "epochs": 30},
    "table_ensemble": {"model.family": "tabm", "model.members": 2, "model.units": [16], "members": 2, "epochs": 20},
    "table_embedded": {"model.family": "realmlp", "model.units": [16], "folds": 2, "epochs": 30},
    "deep": {"model.units": [16] * 10, "model.activation": "sigmoid"},
}


@pytest.fixture(scope="module")
def trained_tasks(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Iris trained with each setting; read-only."""
    workspace = new_workspace(tmp_path_factory.mktemp("switches"))
    for name, settings in SWITCHES.items():
        shutil.copy(workspace.task_file("iris"), workspace.task_file(name))
        keys = {key if "." in key else f"train.{key}": value for key, value in {**PLAIN, **settings}.items()}
        edit_task(workspace, name, keys)
        fetch_raw(workspace, name)
        prepare.prepare(workspace, loader.load(workspace, name))
    test = workspace.out("folded", "prepare") / "test.npz"
    away = test.rename(test.with_name("away.npz"))  # folds must not use it
    train_tasks(workspace, *SWITCHES)
    away.rename(test)
    return workspace


def _record(workspace: Workspace, name: str) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(workspace.out(name, "train") / "training.json")
    return found


def _outputs(workspace: Workspace, name: str) -> Any:
    features, truth = array_file.read_part(workspace.out("plain", "prepare") / "validation.npz")
    return Predictor.load(workspace.out(name, "train")).run(features), truth


def test_training_stops_at_the_requested_metric_value(trained_tasks: Workspace) -> None:
    """Training ends after the first epoch that reaches the validation accuracy, or the loss on training rows."""
    curve = _record(trained_tasks, "stopped")["history"]["val_accuracy"]
    assert curve[-1] >= 0.6 > max(curve[:-1], default=0)
    curve = _record(trained_tasks, "stopped_on_training")["history"]["loss"]
    assert curve[-1] <= 0.9 < min(curve[:-1])
    assert len(curve) < 60


def test_patience_requires_the_minimum_improvement(trained_tasks: Workspace) -> None:
    """With `min_delta`, only an improvement of at least that size resets the patience."""
    record = _record(trained_tasks, "impatient")
    assert record["stopped_early"]
    curve = record["history"]["val_loss"]
    counted, waited = curve[0], 0
    for value in curve[1:]:
        counted, waited = (value, 0) if value < counted - 0.5 else (counted, waited + 1)
    assert waited == 3


def test_best_weights_are_those_of_the_monitored_metric(trained_tasks: Workspace) -> None:
    """The weights of the first epoch with the highest validation accuracy are kept, whatever its loss."""
    record = _record(trained_tasks, "accurate")
    assert record["best_epoch"] == 1 + int(np.argmax(record["history"]["val_accuracy"]))
    assert record["best_epoch"] != 1 + int(np.argmin(record["history"]["val_loss"]))


def test_learning_rate_schedule_is_recorded(trained_tasks: Workspace) -> None:
    """The rate of each epoch is recorded, and falls as the schedule says."""
    assert _record(trained_tasks, "falling")["history"]["learning_rate"][1:4:2] == pytest.approx(
        [0.001, 0.0001], rel=0.2
    )
    assert "learning_rate" not in _record(trained_tasks, "plain")["history"]


def test_plateau_schedule_lowers_the_rate_by_its_factor(trained_tasks: Workspace) -> None:
    """The rate falls each time the loss has not improved for an epoch."""
    history = _record(trained_tasks, "settling")["history"]
    rates = history["learning_rate"]
    assert rates[-1] < 0.05
    steps = {round(after / before, 3) for before, after in itertools.pairwise(rates)}
    assert steps == {1.0, 0.1}


def test_deep_sigmoid_network_is_diagnosed(trained_tasks: Workspace) -> None:
    """The network learned nothing, and the record and the report say so with the reason."""
    found = _record(trained_tasks, "deep")["diagnosis"]
    assert found["verdict"] == "under-fit"
    assert "expected at least 10% less" in found["reason"]
    assert found["findings"][0].startswith("vanishing gradients: that of dense is ")
    task = loader.load(trained_tasks, "deep")
    evaluate.evaluate(trained_tasks, task)
    written = task_page(trained_tasks, task)
    assert "Vanishing gradients: that of dense is " in written
    assert '<strong class="bad">Under-fit</strong>' in written


def test_second_phase_starts_from_the_best_weights_of_the_first(trained_tasks: Workspace) -> None:
    """The start of the second phase is recorded, its patience ends it, and the best weights of both phases are kept."""
    record = _record(trained_tasks, "twice")
    curve = record["history"]["val_loss"]
    assert record["warm_start"] == {"epoch": 5, "from_epoch": 1 + int(np.argmin(curve[:4]))}
    assert 6 <= record["epochs"] == len(curve) < 34
    assert record["stopped_early"]
    assert record["best_epoch"] == 1 + int(np.argmin(curve))


def test_class_weight_raises_the_probability_of_its_label(trained_tasks: Workspace) -> None:
    """With thirty times the weight, a label has a higher mean probability over all rows."""
    assert _outputs(trained_tasks, "weighted")[0][:, 2].mean() > _outputs(trained_tasks, "plain")[0][:, 2].mean() + 0.1


def test_mixup_makes_predictions_less_confident(trained_tasks: Workspace) -> None:
    """MixUp lowers confidence, is reproducible, and does not change the shape of outputs."""
    once, again = (trained_tasks.out(name, "train") / "model.onnx" for name in ("mixed", "mixed_again"))
    assert once.read_bytes() == again.read_bytes()
    mixed_outputs, plain = _outputs(trained_tasks, "mixed")[0], _outputs(trained_tasks, "plain")[0]
    assert mixed_outputs.shape == plain.shape
    assert mixed_outputs.max(axis=1).mean() < plain.max(axis=1).mean()
    history = [_record(trained_tasks, name)["history"]["loss"][-1] for name in ("mixed", "plain")]
    assert history[0] > history[1]


def test_fold_scores_are_measured_on_held_out_rows(trained_tasks: Workspace) -> None:
    """There is a value per fold with mean and deviation, without test rows; the model is the same as without folds."""
    folds, evaluator = (
        trained_tasks.out("folded", "train") / "folds.npz",
        loader.load(trained_tasks, "folded").evaluator,
    )
    found = fold_scores(folds, evaluator)["accuracy"]
    assert len(found["values"]) == 3
    accurate = [(fold.outputs.argmax(axis=1) == fold.truth).mean() for fold in held_out.load(folds)]
    assert found["values"] == pytest.approx(accurate)
    assert found["mean"] == pytest.approx(np.mean(found["values"]))
    assert found["deviation"] == pytest.approx(np.std(found["values"], ddof=1))
    models = [(trained_tasks.out(name, "train") / "model.onnx").read_bytes() for name in ("folded", "plain")]
    assert models[0] == models[1]


@pytest.mark.parametrize("name", ["several", "blended"])
def test_ensemble_members_are_one_model(trained_tasks: Workspace, name: str) -> None:
    """One graph holds three networks with different seeds, and its outputs are probabilities."""
    record, plain = _record(trained_tasks, name), _record(trained_tasks, "plain")
    assert record["parameters"] == 3 * plain["parameters"]
    assert [member["seed"] for member in record["members"]] == [0, 1, 2]
    assert sum(member["share"] for member in record["members"]) == pytest.approx(1, abs=1e-5)
    assert -1 < record["correlation"]["mean"] < 1
    outputs, truth = _outputs(trained_tasks, name)
    assert outputs.sum(axis=1) == pytest.approx(np.ones(len(truth)), abs=1e-5)
    assert record["history"] == plain["history"]  # the first member's


def test_learned_shares_are_no_worse_than_equal_ones(trained_tasks: Workspace) -> None:
    """Learned shares have no higher loss on the rows by which they were learned."""
    losses = {}
    for name in ("several", "blended"):
        outputs, truth = _outputs(trained_tasks, name)
        losses[name] = -np.log(outputs[np.arange(len(truth)), truth]).mean()
    assert losses["blended"] <= losses["several"] + 1e-6


def test_gradient_statistics_do_not_change_the_model(trained_tasks: Workspace) -> None:
    """With or without statistics the model is the same to the byte; only the snapshots are missing."""
    models = [(trained_tasks.out(name, "train") / "model.onnx").read_bytes() for name in ("unwatched", "plain")]
    assert models[0] == models[1]
    assert _record(trained_tasks, "plain")["diagnosis"]["snapshots"]
    found = _record(trained_tasks, "unwatched")["diagnosis"]
    assert found["snapshots"] == []
    assert found["verdict"] in ("under-fit", "good fit", "over-fit")


def test_report_shows_the_training_record(trained_tasks: Workspace) -> None:
    """The page shows verdict and reason, gradient curves, the second phase, folds and members."""
    for name, words in {
        "twice": ["Training", "a new optimizer and the weights of epoch", "<h3>Gradients</h3>"],
        "several": ["Ensemble members", "correlation of their errors"],
        "folded": ["Cross-validation", "3 folds of the training and validation rows"],
    }.items():
        task = loader.load(trained_tasks, name)
        evaluate.evaluate(trained_tasks, task)
        written = task_page(trained_tasks, task)
        found = _record(trained_tasks, name)["diagnosis"]
        assert found["verdict"].capitalize() in written
        for word in (*words, found["reason"].partition(":")[0]):
            assert word in written, word


def test_smoothed_labels_make_predictions_less_extreme(trained_tasks: Workspace) -> None:
    """Only the training loss has smoothed labels: it is far above that of validation, and predictions are cautious."""
    record, plain = _record(trained_tasks, "smoothed"), _record(trained_tasks, "plain")
    outputs, truth = _outputs(trained_tasks, "smoothed")
    assert outputs.max() < _outputs(trained_tasks, "plain")[0].max()
    assert record["history"]["loss"][-1] > plain["history"]["loss"][-1]
    loss = -np.log(outputs[np.arange(len(truth)), truth]).mean()
    assert loss == pytest.approx(record["history"]["val_loss"][record["best_epoch"] - 1], rel=1e-3)


@pytest.mark.parametrize("name", ["table_members", "table_ensemble", "table_embedded"])
def test_networks_for_tables_learn_and_export(trained_tasks: Workspace, name: str) -> None:
    """The best weights are better than chance, and the exported model gives what was validated."""
    record, (outputs, truth) = _record(trained_tasks, name), _outputs(trained_tasks, name)
    assert record["parity"] < 1e-5
    assert np.mean(outputs.argmax(axis=1) == truth) > 0.8
    if name != "table_ensemble":
        loss = -np.log(outputs[np.arange(len(truth)), truth]).mean()
        assert loss == pytest.approx(min(record["history"]["val_loss"]), rel=1e-3)
