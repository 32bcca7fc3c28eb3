"""Models that were trained outside: shapes and outputs are checked, the gate holds them, a person's word promotes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_challengers import fit_linear, prepare_task, quick_package
from workspaces import new_workspace, run_in_process

import tiltyard as ty
from tiltyard import files
from tiltyard.errors import TiltyardError, TrainingError
from tiltyard.report.sections.lineage import lineage_section, provenance_section
from tiltyard.report.sections.training import training_sections
from tiltyard.serving.packaging.model_card import card, ran_on
from tiltyard.training import outside
from tiltyard.workspace import Workspace


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project in which iris, diabetes and sine are prepared."""
    workspace = new_workspace(tmp_path_factory.mktemp("outside") / "project")
    for name in ("iris", "diabetes", "sine"):
        prepare_task(workspace, name)
    return workspace


def _discriminant(task: ty.Task) -> Any:
    """Return a network with the weights of linear discriminants: good, without a training."""
    import keras

    (features, truth), _, labels = task.training_rows()
    weights, bias = fit_linear(features.astype(np.float64), truth, len(labels))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax", name="scores")])
    model.set_weights([weights, bias])
    return model


def _judge(root: str) -> dict[str, Any]:
    """Judge the network without and with a person's word; packaging and the reference are left out, to be quick."""
    patches = pytest.MonkeyPatch()  # of this process alone
    patches.setattr("tiltyard.serving.packaging.package.package", quick_package)
    patches.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
    task = ty.open(root)["iris"]
    held = ty.from_keras(_discriminant(task), task)
    promoted = ty.from_keras(_discriminant(task), task, override="trained on training_rows() alone")
    failed = [outcome.code for outcome in held.outcomes if outcome.state == "failed"]
    return {
        "verdicts": [held.verdict, promoted.verdict],
        "failed": failed,
        "versions": [held.version, promoted.version],
        "accuracy": task.metrics["accuracy"],
        "champion": task.history()["verdict"].tolist(),
    }


@pytest.mark.slow
def test_the_gate_holds_it_until_a_person_answers_for_its_rows(project: Workspace) -> None:
    """Only its provenance fails; an override is recorded, and the second export is the same version."""
    result = run_in_process(_judge, str(project.root))
    assert result["accuracy"] >= 0.9
    assert (result["verdicts"], result["failed"]) == (["HOLD", "PROMOTE"], ["provenance"])
    assert len({*result["versions"]}) == 1
    assert result["champion"] == ["HOLD", "PROMOTE"]
    task = ty.open(project.root)["iris"]
    assert "trained on training_rows() alone" in str(task.why()["reasons"])
    training = files.read_json(project.out("iris", "train") / "training.json")
    report = files.read_json(project.out("iris", "evaluate") / "report.json")
    text = card(task.settings, report, training, ran_on(project.out("iris", "train")))
    assert "does not know with which rows" in text
    assert "Its optimizer has made no step" in text
    assert "family: python: a Keras model trained outside" in text
    assert "Trained outside of Tiltyard" in "".join(
        section.content for section in training_sections(task.settings, report, training)
    )
    assert "not known" in provenance_section(report, training).content
    assert "trained outside" in lineage_section(project, task.settings, report, training, None).content


def test_rows_for_training_hold_no_test_row(project: Workspace) -> None:
    """They are those of `prepare`, as a network reads them, with the labels in the order of its outputs."""
    rows = ty.open(project.root)["iris"].training_rows()
    assert rows.labels == ["setosa", "versicolor", "virginica"]
    assert rows.train[0].shape[1:] == (4,)
    split = files.read_json(project.out("iris", "prepare") / "split.json")["rows"]
    assert [len(rows.train[1]), len(rows.validation[1])] == [split["train"], split["validation"]]


def _models() -> dict[str, tuple[str, Any]]:
    """Return networks that do not fit, by the part of the message that says why, with their task."""
    import keras
    from keras import layers

    class Own(layers.Layer):  # type: ignore[misc]
        """A layer of one's own."""

        def call(self, x: Any) -> Any:
            return x

    def network(*parts: Any, width: int = 4) -> Any:
        return keras.Sequential([keras.Input((width,)), *parts])

    normal = layers.Normalization()
    normal.adapt(np.zeros((2, 4)))
    nan = network(layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.Constant(np.nan)))
    return {
        "expected a Keras model; received str": ("iris", "model.keras"),
        "expected inputs of shape (rows, 4) for iris; received (None, 5)": (
            "iris",
            network(layers.Dense(3, activation="softmax"), width=5),
        ),
        "expected outputs of shape (rows, 3) for iris; received (None, 2)": ("iris", network(layers.Dense(2))),
        "expected a model that knows its input": ("iris", keras.Sequential([layers.Dense(3)])),
        "expected probabilities; received outputs from": ("iris", network(layers.Dense(3, bias_initializer="ones"))),
        "expected probabilities that sum to 1": ("iris", network(layers.Dense(3, activation="sigmoid"))),
        "expected finite outputs": ("iris", nan),
        "received Own": ("iris", network(Own(), layers.Dense(3, activation="softmax"))),
        "expected no Normalization": ("iris", network(normal, layers.Dense(3, activation="softmax"))),
        "expected inputs of shape (rows, 11)": ("diabetes", network(layers.Dense(1))),
    }


def _refusals(root: str) -> dict[str, str]:
    messages = {}
    for part, (name, model) in _models().items():
        try:
            outside.take(Workspace(Path(root)), ty.open(root)[name].settings, model)
        except TiltyardError as error:
            messages[part] = error.message
    return messages


@pytest.mark.slow
def test_networks_that_do_not_fit_are_refused(project: Workspace) -> None:
    """Each message says what was expected and received; nothing is written."""
    trained = project.out("diabetes", "train")
    messages = run_in_process(_refusals, str(project.root))
    assert {part for part in messages if part not in messages[part]} == set()
    assert len(messages) == 10
    assert not trained.exists()


def test_tasks_with_more_than_one_output_layer_are_refused(project: Workspace) -> None:
    """An interval is computed in training, and a walk-forward evaluation trains again."""
    task = ty.open(project.root)["sine"].settings
    assert task.target.interval is not None or task.evaluate.walk_forward is None
    with_interval = task.model_copy(update={"target": task.target.model_copy(update={"interval": 0.9})})
    with pytest.raises(TrainingError, match=r"target\.interval: expected none"):
        outside.take(project, with_interval, None)


def _numbers(root: str) -> tuple[float, float]:
    """Judge least squares of diabetes, in the unit of the target; return its error and that of the baseline."""
    import keras

    from tiltyard.evaluation.evaluate import evaluate

    task = ty.open(root)["diabetes"]
    (features, truth), _, _ = task.training_rows()
    weights, bias = fit_linear(features.astype(np.float64), truth.astype(np.float64), 0)
    inputs = keras.Input((features.shape[1],))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.set_weights([weights, bias])
    outside.take(task.workspace, task.settings, model)
    report = evaluate(task.workspace, task.settings)
    return report["metrics"]["mae"], report["baseline"]["mae"]


@pytest.mark.slow
def test_numbers_are_in_the_unit_of_the_target(project: Workspace) -> None:
    """A linear model of diabetes is better than the mean, without a conversion."""
    error, baseline = run_in_process(_numbers, str(project.root))
    assert error < 0.8 * baseline
