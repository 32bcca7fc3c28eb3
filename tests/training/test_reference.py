"""The family `reference`: its graph has the outputs of scikit-learn; settings that need epochs are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_subjects import CASES, case
from workspaces import edit_task, fetch_raw, run_in_process, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

SERVED = [name for name in CASES if name not in ("words", "characters", "mixed with words")]


def _compare_graphs(name: str, folder: str) -> dict[str, Any]:
    """Fit each reference, build and export its graph; return differences by title."""
    import keras

    from tiltyard.modeling.references import base
    from tiltyard.training import network
    from tiltyard.training.onnx.export import export
    from tiltyard.training.reference_graphs import scores_model

    subject, features, truth = case(name)
    results = {}
    for place, fitted in enumerate(base.candidates(subject, (features[:-60], truth[:-60]))):
        model, new = scores_model(fitted.model, features.shape[1:]), features[-60:]
        path = Path(folder) / str(place)
        path.mkdir()
        subject.encoder.save(path / "encoder.json")
        expected, received = fitted.scores(new), network.outputs(model, new)
        again = keras.saving.load_model(path / "model.keras") if export(model, path, new) <= 1e-4 else None
        same = again is not None and bool((network.outputs(again, new) == received).all())
        results[fitted.model.title] = [float(np.abs(expected - received).max() / np.abs(expected).max()), same]
    return results


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVED)
def test_graph_has_the_scores_of_scikit_learn(name: str, tmp_path: Path) -> None:
    """Every kind of reference exports with parity, and has the same scores as scikit-learn on new rows."""
    for title, (difference, same) in run_in_process(_compare_graphs, name, str(tmp_path)).items():
        assert difference < 1e-5, title
        assert same, title


ASKED: dict[str, dict[str, Any]] = {
    "train.folds: expected none": {"train": {"epochs": 1, "folds": 3}},
    "train.members: expected none": {"train": {"epochs": 1, "members": 3}},
    "train.then: expected none": {"train": {"epochs": 1, "then": {"epochs": 2}}},
}


@pytest.mark.parametrize("message", ASKED)
def test_settings_of_epochs_are_refused(message: str) -> None:
    """A reference takes no folds, ensembles or phases."""
    with pytest.raises(TaskError, match=message):
        loader.parse(_task_text(ASKED[message]), "iris", "tasks/iris.yaml")


def test_reference_of_texts_needs_ngrams() -> None:
    """A text must be read as n-grams by this family, and by no family that needs the order of words."""
    text: dict[str, Any] = {"columns": {"text": {"type": "text"}}, "serve": {"example": "five good words"}}
    with pytest.raises(TaskError, match=r"columns.text.by: expected ngrams for the family reference; received words"):
        loader.parse(_task_text(text), "iris", "tasks/iris.yaml")
    text["columns"]["text"]["by"] = "ngrams"
    loader.parse(_task_text(text), "iris", "tasks/iris.yaml")
    with pytest.raises(TaskError, match=r"columns.text.by: expected words or characters for the family rnn"):
        loader.parse(_task_text({**text, "model": {"family": "rnn"}}), "iris", "tasks/iris.yaml")


def _task_text(changes: dict[str, Any]) -> str:
    """Return iris as a task of the family `reference`, with sections replaced."""
    import yaml

    content = yaml.safe_load((Path(__file__).parents[2] / "tasks" / "iris.yaml").read_text(encoding="utf-8"))
    content.pop("search", None)
    for slices in ("slices", "behaviours", "sensitive"):
        content["gate"].pop(slices, None)
    return yaml.safe_dump({**content, "model": {"family": "reference"}, "train": {"epochs": 1}, **changes})


def _activate(output: str) -> dict[str, Any]:
    """Return the outputs of two logits after the activation of a task."""
    import keras

    from tiltyard.training.reference import _activated

    logits = keras.Input((2,), name="features")
    rows = np.array([[0.0, 2.0], [1.0, -3.0]], dtype=np.float32)
    return {"outputs": np.asarray(_activated(keras.Model(logits, logits * 1.0), output)(rows)).tolist()}


@pytest.mark.slow
def test_sigmoid_and_softmax_give_the_same_probability() -> None:
    """A sigmoid output has one unit, the probability of the second label."""
    one, two = (np.array(run_in_process(_activate, output)["outputs"]) for output in ("sigmoid", "softmax"))
    assert one.shape == (2, 1)
    assert np.allclose(one[:, 0], two[:, 1], atol=1e-6)


@pytest.mark.slow
def test_task_is_trained_by_its_reference(workspace: Workspace) -> None:
    """The record names the reference and its rows, and evaluation finds it as good as scikit-learn."""
    edit_task(workspace, "iris", {"model": {"family": "reference"}, "train": {"epochs": 1}, "search": None})
    task = loader.load(workspace, "iris")
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, task)
    train_tasks(workspace, "iris")
    record = files.read_json(workspace.out("iris", "train") / "training.json")
    assert record["reference"] == "a linear model fitted to 90 training rows"
    assert record["parity"] < 1e-4
    assert evaluate(workspace, task)["metrics"]["accuracy"] > 0.8
