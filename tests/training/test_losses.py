"""Losses of our own: values worked by hand, what they are minimised by, and the settings that they do not fit."""

from __future__ import annotations

import math
import shutil
from typing import Any

import numpy as np
import pytest
from workspaces import edit_task, fetch_raw, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.errors import DataError, TaskError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import platt
from tiltyard.workspace import Workspace


def _sigmoid(margin: float) -> float:
    return 1 / (1 + math.exp(-margin))


# Targets and outputs of rows, and the loss of each.
WORKED: dict[str, tuple[list[list[float]], list[list[float]], list[float]]] = {
    # errors of 0, of .75 in one of two values, and of 2.4: sqrt(1 + .5625) = 1.25 and sqrt(1 + 5.76) = 2.6
    "pseudo_huber": ([[1, 2], [1, 2], [0, 0]], [[1, 2], [1.75, 2], [2.4, 0]], [0, 0.125, 0.8]),
    # 3 - 2 + 2 log(2/3); 0.5 where nothing is counted; 0 where the mean is the count
    "poisson": ([[2], [0], [4]], [[3], [0.5], [4]], [1 + 2 * math.log(2 / 3), 0.5, 0]),
    # margins of .25 and 2 on the right side, of .25 on the wrong one
    "hinge": ([[1], [0], [1]], [[_sigmoid(0.25)], [_sigmoid(-2)], [_sigmoid(-0.25)]], [0.75, 0, 1.25]),
    "squared_hinge": ([[1], [0], [1]], [[_sigmoid(0.25)], [_sigmoid(-2)], [_sigmoid(-0.25)]], [0.5625, 0, 1.5625]),
    # a label: -log .25; shares of .5 and .5: .5 log(.5/.25) + .5 log(.5/.75)
    "kl_divergence": ([[0, 1], [0.5, 0.5]], [[0.75, 0.25], [0.25, 0.75]], [math.log(4), 0.5 * math.log(4 / 3)]),
    # the length of (.6, .8) is 1, of (.5, .5) the root of a half
    "cosine_similarity": ([[0, 1], [1, 0]], [[0.6, 0.8], [0.5, 0.5]], [0.2, 1 - math.sqrt(0.5)]),
}


def _worked() -> tuple[dict[str, list[float]], list[str]]:
    import keras

    from tiltyard.training.losses import OWN

    def values(name: str, truth: Any, outputs: Any) -> list[float]:
        arrays = (np.array(part, dtype=np.float32) for part in (truth, outputs))
        result: list[float] = keras.ops.convert_to_numpy(OWN[name](*map(keras.ops.convert_to_tensor, arrays))).tolist()
        return result

    found = {name: values(name, truth, outputs) for name, (truth, outputs, _) in WORKED.items()}
    for name in ("kl_divergence", "cosine_similarity"):  # indices of labels instead of their vectors
        found[f"{name} of indices"] = values(name, [1, 0], [[0.6, 0.4], [0.6, 0.4]])
        found[f"{name} of a column of indices"] = values(name, [[1], [0]], [[0.6, 0.4], [0.6, 0.4]])
    return found, sorted(OWN)


@pytest.mark.slow
def test_losses_have_the_values_of_their_formulas() -> None:
    """Each loss of three rows is worked by hand, with labels as indices and as vectors."""
    found, names = run_in_process(_worked)
    assert names == sorted([*WORKED, "focal", "pixel_crossentropy"])  # these are in test_picture_losses.py
    for name, (*_, expected) in WORKED.items():
        assert found[name] == pytest.approx(expected, abs=1e-5), name
    cosine = [0.4 / math.sqrt(0.52), 0.6 / math.sqrt(0.52)]
    for form in ("indices", "a column of indices"):
        assert found[f"kl_divergence of {form}"] == pytest.approx([-math.log(0.4), -math.log(0.6)], abs=1e-5)
        assert found[f"cosine_similarity of {form}"] == pytest.approx([1 - value for value in cosine], abs=1e-5)


def _minimisers() -> dict[str, float]:
    """Return the outputs with the lowest mean loss over rows of which three in ten have the second label."""
    import keras

    from tiltyard.training.losses import OWN

    grid = np.linspace(0.01, 0.99, 99, dtype=np.float32)
    labels = np.array([0] * 7 + [1] * 3, dtype=np.float32)
    found = {}
    for name in ("kl_divergence", "cosine_similarity", "hinge", "squared_hinge"):
        outputs = grid[:, None] if "hinge" in name else np.stack([1 - grid, grid], axis=1)
        means = [float(keras.ops.mean(OWN[name](labels[:, None], np.repeat(row[None], 10, axis=0)))) for row in outputs]
        found[name] = float(grid[int(np.argmin(means))])
    return found


@pytest.mark.slow
def test_only_losses_of_probabilities_are_minimised_by_the_share_of_a_label() -> None:
    """Cosine similarity is a proper score as the log loss is; a hinge ends at margins of -1 and 2 x .3 - 1."""
    found = run_in_process(_minimisers)
    assert found["kl_divergence"] == pytest.approx(0.3)
    assert found["cosine_similarity"] == pytest.approx(0.3)
    assert found["hinge"] == pytest.approx(_sigmoid(-1), abs=0.01)
    assert found["squared_hinge"] == pytest.approx(_sigmoid(-0.4), abs=0.01)


def test_platt_scaling_recovers_a_logistic_curve() -> None:
    """Labels drawn with the probability sigmoid(3 z - 1) give a slope of 3 and an offset of -1."""
    chance = np.random.default_rng(0)
    margins = chance.uniform(-1, 1, 20_000)
    positive = chance.random(20_000) < 1 / (1 + np.exp(1 - 3 * margins))
    assert platt.fit(margins, positive) == pytest.approx((3, -1), abs=0.1)


def test_platt_scaling_stays_finite() -> None:
    """Margins that separate the rows, equal margins and a single label give finite probabilities."""
    slope, offset = platt.fit(np.array([-1.0, -1.0, 1.0, 1.0]), np.array([False, False, True, True]))
    assert 1 / (1 + math.exp(-slope - offset)) == pytest.approx(3 / 4, abs=1e-6), "(2 + 1) / (2 + 2)"
    slope, offset = platt.fit(np.full(4, 0.5), np.array([False, False, False, True]))
    assert 1 / (1 + math.exp(-slope / 2 - offset)) == pytest.approx((2 / 3 + 3 / 5) / 4, abs=1e-6)
    assert all(map(math.isfinite, platt.fit(np.array([-40.0, 3.0]), np.array([True, True]))))


TWO: dict[str, Any] = {
    "problem": "classification",
    "target": {"column": "progression", "classes": ["low", "high"], "threshold": 140},
    "split.kind": "stratified",
    "gate": {"metric": "log_loss"},
    "model.output": "sigmoid",
}
COUNTS = {"model.output": "exponential", "train.loss": "poisson"}
TRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "pseudo_huber": ("diabetes", {"train.loss": "pseudo_huber"}),
    "counts": ("diabetes", COUNTS),
    "counts_blended": ("diabetes", {**COUNTS, "model.blend_references": True}),
    "counts_members": ("diabetes", {**COUNTS, "train.members": 2}),
    "hinge": ("diabetes", {**TWO, "train.loss": "hinge"}),
    "squared_hinge": ("diabetes", {**TWO, "train.loss": "squared_hinge"}),
    "hinge_members": ("diabetes", {**TWO, "train.loss": "hinge", "train.members": 2}),
    "hinge_blended": ("diabetes", {**TWO, "train.loss": "hinge", "model.blend_references": True}),
    "kl_divergence": ("iris", {"train.loss": "kl_divergence"}),
    "kl_smoothed": ("iris", {"train.loss": "kl_divergence", "train.label_smoothing": 0.3}),
    "cosine_similarity": ("iris", {"train.loss": "cosine_similarity"}),
}


@pytest.fixture(scope="module")
def trained_tasks(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Small trainings, one for each loss and for what it is combined with; read-only."""
    workspace = new_workspace(tmp_path_factory.mktemp("losses"))
    for name, (source, changes) in TRAINED.items():
        shutil.copy(workspace.task_file(source), workspace.task_file(name))
        edit_task(workspace, name, {"train.epochs": 25, "train.patience": None, "train.watch": True, **changes})
        fetch_raw(workspace, name)
        prepare.prepare(workspace, loader.load(workspace, name))
    for name in TRAINED:  # each has a time limit
        train_tasks(workspace, name)
    return workspace


def _outputs(workspace: Workspace, name: str, part: str = "validation") -> tuple[Array, Array]:
    features, truth = array_file.read_part(workspace.out(name, "prepare") / f"{part}.npz")
    return Predictor.load(workspace.out(name, "train")).run(features), truth


def _record(workspace: Workspace, name: str) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(workspace.out(name, "train") / "training.json")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_each_loss(trained_tasks: Workspace, name: str) -> None:
    """The last loss is below the first, and the trained model is better than the best constant."""
    record = _record(trained_tasks, name)
    assert record["history"]["loss"][-1] < record["history"]["loss"][0]
    losses = record["diagnosis"]["loss"]
    assert losses["train"] < losses["train_baseline"]
    assert losses["train"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["counts", "counts_blended", "counts_members", "pseudo_huber"])
def test_predictions_are_in_the_unit_of_the_target(trained_tasks: Workspace, name: str) -> None:
    """Counts are learned as multiples of their mean, and served as counts, never below 0."""
    outputs, truth = _outputs(trained_tasks, name, "train")
    assert outputs.min() > 0
    assert outputs.mean() == pytest.approx(truth.mean(), rel=0.1)
    assert np.abs(outputs[:, 0] - truth).mean() < 0.85 * np.abs(truth - np.median(truth)).mean()


@pytest.mark.slow
def test_poisson_is_not_standardised(trained_tasks: Workspace) -> None:
    """The scale of the target begins at zero: another unit would change which mean is best."""
    target = Predictor.load(trained_tasks.out("counts", "train")).encoder.target
    truth = TrainingRows.load(trained_tasks.out("counts", "prepare")).train[1]
    assert (target["mean"], target["std"]) == (0.0, pytest.approx(truth.mean()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hinge", "squared_hinge", "hinge_members", "hinge_blended"])
def test_margins_are_served_as_probabilities(trained_tasks: Workspace, name: str) -> None:
    """On validation rows their mean is the share of the label, and their log loss is that of useful probabilities."""
    outputs, truth = _outputs(trained_tasks, name)
    share = float((truth == 1).mean())
    right = np.where(truth == 1, outputs[:, 0], 1 - outputs[:, 0])
    assert outputs.mean() == pytest.approx(share, abs=0.05)
    assert -np.log(right).mean() < 0.9 * math.log(2)
    assert (right > 0.5).mean() > 0.65


@pytest.mark.slow
def test_record_has_slope_and_offset_of_margins(trained_tasks: Workspace) -> None:
    """They are in the record of a training by a hinge loss, and in no other."""
    assert _record(trained_tasks, "hinge")["probabilities"]["slope"] > 0
    assert "probabilities" not in _record(trained_tasks, "kl_divergence")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kl_divergence", "kl_smoothed", "cosine_similarity"])
def test_losses_of_probabilities_classify(trained_tasks: Workspace, name: str) -> None:
    """Most irises are labelled correctly, by probabilities with a sum of 1."""
    outputs, truth = _outputs(trained_tasks, name)
    assert outputs.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (outputs.argmax(axis=1) == truth).mean() > 0.8


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (
        "iris",
        {"train.loss": "hinge"},
        "train.loss: expected .* with a softmax output; received hinge, which needs model.output: sigmoid",
    ),
    ("iris", {"train.loss": "hinge", "model.output": "sigmoid"}, "model.output: expected softmax for 3 classes"),
    ("diabetes", {"train.loss": "hinge"}, "train.loss: expected .*; received hinge, which is not for regression"),
    ("diabetes", {"train.loss": "cosine_similarity"}, "received cosine_similarity, which is not for regression"),
    (
        "diabetes",
        {"train.loss": "poisson"},
        "with a linear output; received poisson, which needs model.output: exponential",
    ),
    ("diabetes", {"model.output": "exponential", "train.loss": "mse"}, "expected poisson with an exponential output"),
    ("diabetes", {"model.output": "exponential", "target.log": True}, "target.log: expected false with an exponential"),
    ("diabetes", {"model.output": "exponential", "target.bounds": [-1, 400]}, "target.bounds: expected 0 or more"),
    ("sine", {"model.output": "exponential"}, "model.output: expected linear for forecasting; received exponential"),
    ("diabetes", {**TWO, "train.loss": "hinge", "train.label_smoothing": 0.1}, "label_smoothing: expected 0 for hinge"),
    (
        "diabetes",
        {**TWO, "train.loss": "hinge", "train.augment": {"mixup": 0.1}},
        "augment.mixup: expected 0 for hinge, whose labels are -1 and 1; received 0.1",
    ),
    (
        "diabetes",
        {**TWO, "train.loss": "hinge", "model": {"family": "tabm", "output": "sigmoid"}},
        "expected binary_crossentropy for the family tabm, whose output is not one dense layer",
    ),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED)
def test_losses_that_do_not_fit_are_refused(
    workspace: Workspace, name: str, changes: dict[str, Any], message: str
) -> None:
    """The message says what was expected, what was received, and where the loss belongs."""
    edit_task(workspace, name, changes)
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, name)


def test_negative_targets_are_no_counts(trained_tasks: Workspace) -> None:
    """An exponential output is refused for a target with negative values or only zeros."""
    rows = TrainingRows.load(trained_tasks.out("counts", "prepare"))
    for truth, received in ((np.array([1.0, -2.0]), "-2"), (np.zeros(2), "only zeros")):
        changed = TrainingRows(rows.encoder, (rows.train[0], truth), (rows.validation[0], truth), "", {})
        with pytest.raises(DataError, match=f"expected counts, 0 or more .*; received {received}"):
            changed.with_counts()
