"""Blends of a network with references: their weights, the graph, what is refused, and the training as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from generated_tasks import prepare_exponential, prepare_label_sets, prepare_texts
from workspaces import ROOT, edit_task, fetch_raw, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.explain.explain import ExplainRequest, explain
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.preparation import prepare
from tiltyard.report.report import task_page
from tiltyard.serving.packaging.model_card import card
from tiltyard.training import blend
from tiltyard.workspace import Workspace

TRUTH = np.random.default_rng(0).normal(size=(200, 1))


def _squared(outputs: Array) -> Array:
    return np.asarray(np.square(outputs - TRUTH[: len(outputs)]).mean(axis=1))


def _noisy(*errors: float, rows: int = 200) -> Array:
    """Return the outputs of parts whose errors are independent and have these deviations."""
    generator = np.random.default_rng(1)
    return np.stack([TRUTH[:rows] + error * generator.normal(size=(rows, 1)) for error in errors])


def test_a_part_that_is_much_better_stands_alone() -> None:
    """Parts of less than a twentieth are left out, and the others have a sum of 1."""
    assert blend.learn_weights(_noisy(2.0, 0.1, 2.0), _squared, 200) == [0.0, 1.0, 0.0]


def test_parts_that_are_equally_good_have_equal_weights() -> None:
    """Independent errors of the same size: the mean has less error than each."""
    weights = blend.learn_weights(outputs := _noisy(0.5, 0.5), _squared, 200)
    assert weights[0] == pytest.approx(0.5, abs=0.1)
    assert sum(weights) == pytest.approx(1)
    mean = np.tensordot(weights, outputs, 1)
    assert _squared(mean).mean() < min(_squared(part).mean() for part in outputs)


def test_weights_are_in_the_middle_if_rows_are_too_few() -> None:
    """Twelve rows whose errors have the same size: no part is taken by chance."""
    assert min(blend.learn_weights(_noisy(0.5, 0.55, rows=12), _squared, 12)) > 0.2


def test_a_network_counts_less_if_independent_rows_are_few() -> None:
    """The same rows have stopped its training: with fewer of them, more of its advantage may be chance."""
    weights = [blend.learn_weights(_noisy(0.5, 0.5), _squared, independent)[0] for independent in (200, 20, 2)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > weights[2] + 0.05


def test_equal_outputs_have_equal_weights_each_time() -> None:
    """The resamples do not depend on chance, so that a resumed training gives the same model."""
    assert blend.learn_weights(_noisy(0.4, 0.5, 0.6), _squared, 200) == blend.learn_weights(
        _noisy(0.4, 0.5, 0.6), _squared, 200
    )


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_weights_that_are_tried_have_a_sum_of_one(parts: int) -> None:
    """They include each part alone, and none is negative."""
    grid = blend._grid(parts)
    assert np.allclose(grid.sum(axis=1), 1)
    assert grid.min() >= 0
    assert all((grid == row).all(axis=1).any() for row in np.eye(parts))


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "for the family reference, which Keras does not train; received true": ("iris", {"model": {"family": "reference"}}),
    "for generation, since no reference predicts texts; received true": ("text_generation", {}),
    "for translation, since no reference predicts texts; received true": ("translation", {}),
    r"for texts that are read by words \(references read by: ngrams\); received true": ("imdb_lstm", {}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_tasks_without_a_reference_are_refused(message: str) -> None:
    """The message says for what the setting is not."""
    name, changes = REFUSED[message]
    content = yaml.safe_load((ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8")) | changes
    content["model"]["blend_references"] = True
    for section, key in (("gate", "slices"), ("gate", "behaviours"), ("train", "augment")):
        content[section].pop(key, None)
    content.pop("search", None)
    with pytest.raises(TaskError, match=f"model.blend_references: expected false {message}"):
        loader.parse(yaml.safe_dump(content), name, f"tasks/{name}.yaml")


def test_base_of_a_transfer_is_not_blended() -> None:
    """The setting belongs to the whole model, not to the family inside."""
    model = {"family": "transfer", "base": {"family": "cnn", "blend_references": True}}
    content = yaml.safe_load((ROOT / "tasks" / "digits.yaml").read_text(encoding="utf-8")) | {"model": model}
    with pytest.raises(TaskError, match=r"base.blend_references: expected false; set model.blend_references"):
        loader.parse(yaml.safe_dump(content), "digits", "tasks/digits.yaml")


def _prepared(space: Workspace, name: str) -> Task:
    """Prepare a task that is trained for two epochs."""
    if name == "growth":
        prepare_exponential(space, log=True)
    elif name == "movies":
        prepare_label_sets(space)
    elif name == "moods":
        prepare_texts(space)
        edit_task(space, name, {"columns.message.by": "ngrams", "model": {"family": "ngrams"}})
    else:
        fetch_raw(space, name)
    edit_task(space, name, {"train.epochs": 2, "model.blend_references": True})
    prepare.prepare(space, task := loader.load(space, name))
    return task


def _compare(root: str, name: str, precision: str) -> dict[str, Any]:
    """Blend with fixed weights; return the outputs of the graph, and the mean computed with scikit-learn's scores."""
    import keras

    from tiltyard.modeling.references import base
    from tiltyard.training import fit, network, train

    space = Workspace(Path(root))
    task, rows = loader.load(space, name), train.opened(space, loader.load(space, name))
    keras.config.set_dtype_policy(precision)
    body = fit.fit(task, rows, fit.RunPaths(space.root / "state", space.root / "logs", name)).body
    subject, new = task.reference_subject(rows.encoder), rows.validation[0][:40].astype(np.float32)
    scores = [fitted.scores(new) for fitted in base.candidates(subject, rows.train)]
    weights = np.arange(1, len(scores) + 2) / np.arange(1, len(scores) + 2).sum()
    blend.learn_weights = lambda *_: weights.tolist()
    joined, _ = blend.blend(task, rows, body)
    if subject.classes:
        scores = [base.softmax(part)[:, 1:] if task.output == "sigmoid" else base.softmax(part) for part in scores]
    elif subject.several:
        scores = [base.sigmoid(part) for part in scores]
    mean = np.tensordot(weights, np.stack([network.outputs(body, new), *scores]), 1)
    served = network.outputs(network.build_inference(task.model, joined, rows.encoder), new)
    unit = mean if rows.encoder.classes else subject.outputs(mean)
    layers = [layer.name for layer in joined.layers]
    return {"mean": mean, "joined": network.outputs(joined, new), "unit": unit, "served": served, "layers": layers}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iris", "diabetes", "sine", "digits", "growth", "moods", "movies"])
def test_graph_is_the_weighted_mean_of_its_parts(workspace: Workspace, name: str) -> None:
    """For softmax, one sigmoid (moods), several (movies), numbers, their logarithms (growth) and forecasts."""
    _prepared(workspace, name)
    if name == "moods":
        edit_task(workspace, name, {"model.output": "sigmoid"})
    found = run_in_process(_compare, str(workspace.root), name, "float32")
    assert "network" in found["layers"]
    assert np.allclose(found["joined"], found["mean"], atol=1e-4)
    assert np.allclose(found["served"], found["unit"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_references_compute_in_full_precision(workspace: Workspace) -> None:
    """Beside a network of 16 bits they still have scikit-learn's scores."""
    _prepared(workspace, "diabetes")
    found = run_in_process(_compare, str(workspace.root), "diabetes", "mixed_float16")
    assert np.allclose(found["joined"], found["mean"], atol=1e-3)


@pytest.fixture(scope="module")
def blended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Task]:
    """A project with a trained blend of iris."""
    space = new_workspace(tmp_path_factory.mktemp("blended"))
    fetch_raw(space, "iris")
    edit_task(space, "iris", {"model.blend_references": True})
    prepare.prepare(space, task := loader.load(space, "iris"))
    train_tasks(space, "iris")
    return space, task


@pytest.mark.slow
def test_blend_is_exported_and_evaluated(blended: tuple[Workspace, Task]) -> None:
    """ONNX agrees with Keras; the record has weights with a sum of 1, and the blend less loss than its parts have."""
    space, task = blended
    record = files.read_json(space.out("iris", "train") / "training.json")
    found, parts = record["blend"], record["blend"]["parts"]
    assert record["parity"] < 1e-4
    assert sum(part["weight"] for part in parts) == pytest.approx(1, abs=1e-3)
    assert [part["model"].partition(" fitted")[0] for part in parts] == ["network", "boosted trees", "a linear model"]
    assert found["loss"] < sum(part["weight"] * part["loss"] for part in parts)
    assert found["validation_rows"] == 30
    report = evaluate(space, task)
    assert report["metrics"][task.gate.metric] > report["baseline"][task.gate.metric]


@pytest.mark.slow
def test_report_and_card_say_what_the_model_consists_of(blended: tuple[Workspace, Task]) -> None:
    """Both have the parts in words, with their weights."""
    space, task = blended
    training = files.read_json(space.out("iris", "train") / "training.json")
    report = evaluate(space, task)
    summary = training["blend"]["summary"]
    assert summary.endswith("; weights by the loss on 30 validation rows")
    assert f"consists of: {summary}" in card(task, report, training, {}).replace("\\", "")
    assert "The model is the weighted mean of their outputs" in task_page(space, task)


@pytest.mark.slow
def test_gradients_explain_only_the_network(blended: tuple[Workspace, Task]) -> None:
    """Methods on outputs explain the blend; those that need gradients say that they show the network."""
    space, task = blended
    content = run_in_process(explain, space, task, ExplainRequest(only=("saliency", "permutation")))
    texts = {figure["way"]: figure["text"] for figure in content["exhibits"]}
    assert "It shows only the network, whose weight in the model is 0." in texts["saliency"]
    assert "only the network" not in texts["permutation"]


@pytest.mark.slow
def test_unused_parts_are_not_in_the_graph(blended: tuple[Workspace, Task]) -> None:
    """If the network has no weight, the graph is that of a reference, and there is nothing with layers to explain."""
    space, task = blended
    layers = run_in_process(_layers_of_reference_alone, str(space.root))
    assert "network" not in layers
    record = space.out("iris", "train") / "training.json"
    content = files.read_json(record)
    alone = {**content["blend"], "parts": [{**part, "weight": 0.0} for part in content["blend"]["parts"]]}
    try:
        files.write_json(record, {**content, "blend": alone})
        result = run_in_process(explain, space, task, ExplainRequest(only=("saliency",)))
    finally:
        files.write_json(record, content)
    expected = "it needs a network with gradients; the model has none"
    assert result["left_out"] == {"saliency": expected}


def _layers_of_reference_alone(root: str) -> list[str]:
    """Combine with a weight only for the first reference; return the names of the layers."""
    import keras

    space = Workspace(Path(root))
    model = keras.saving.load_model(space.out("iris", "train") / "model.keras", compile=False)
    part = model.get_layer("network")
    return [layer.name for layer in blend.combine([part, keras.Sequential([part])], [0.0, 1.0]).layers[1:]]


@pytest.mark.slow
def test_threshold_is_that_of_the_blend(workspace: Workspace) -> None:
    """If a label is rare, the decision threshold is chosen on the outputs of the exported model."""
    from tiltyard.modeling.inference import decision_threshold
    from tiltyard.modeling.problems.classification import probabilities
    from tiltyard.preparation.training_rows import TrainingRows

    generator = np.random.default_rng(0)
    values = generator.normal(size=(600, 2))
    labels = np.where(values[:, 0] + 0.5 * generator.normal(size=600) > 1.9, "bad", "good")
    lines = [f"{x:.4f},{y:.4f},{label}" for (x, y), label in zip(values, labels, strict=True)]
    space = workspace
    content = yaml.safe_load(space.task_file("iris").read_text(encoding="utf-8"))
    content = {
        **{key: content[key] for key in ("title", "problem")},
        "source": {"kind": "file", "path": "rare.csv"},
        "rows": [100, 1000],
        "columns": {"x": {"type": "number"}, "y": {"type": "number"}},
        "target": {"column": "label", "classes": ["good", "bad"]},
        "split": {"kind": "stratified"},
        "model": {"family": "mlp", "units": [8], "blend_references": True},
        "train": {"epochs": 3},
        "gate": {"metric": "roc_auc"},
        "serve": {"example": {"x": 1.0, "y": 1.0}},
    }
    files.write_text(space.root / "rare.csv", "\n".join(["x,y,label", *lines]) + "\n")
    files.write_text(space.task_file("rare"), yaml.safe_dump(content))
    fetch_raw(space, "rare")
    prepare.prepare(space, loader.load(space, "rare"))
    train_tasks(space, "rare")
    predictor = Predictor.load(space.out("rare", "train"))
    features, truth = TrainingRows.load(space.out("rare", "prepare")).validation
    expected = decision_threshold.choose(truth, probabilities(predictor.run(features[:])), 1)
    assert predictor.encoder.problem.threshold == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_network_without_a_useful_reference_is_unchanged(workspace: Workspace) -> None:
    """Where no reference takes the features, the version is that of the network alone, and the record says why."""
    _prepared(workspace, "iris")
    without = run_in_process(_train_without_references, str(workspace.root))
    edit_task(workspace, "iris", {"model.blend_references": None})
    train_tasks(workspace, "iris")
    assert without["version"] == version(workspace.out("iris", "train"))
    assert without["summary"] == "the network alone, since no reference takes such features"


def _train_without_references(root: str) -> dict[str, str]:
    """Train with bounds that no task meets; return the version, and what the record says."""
    from tiltyard.modeling.references import base
    from tiltyard.training import train

    base.MAX_CLASSES = 0
    space = Workspace(Path(root))
    record = train.train(space, loader.load(space, "iris"))
    return {"version": version(space.out("iris", "train")), "summary": record["blend"]["summary"]}
