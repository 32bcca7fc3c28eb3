"""One encoder for training and serving: fitted to training rows only, and unchanged after loading."""

from __future__ import annotations

import json

import generated_tasks
import numpy as np
import pytest
import yaml
from workspaces import train_tasks

from tiltyard import files, plugins
from tiltyard.arrays import Rows, take_rows
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.base import PLAIN
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation.array_file import read_part
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.split import SplitInputs, split_rows
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

PREPARE_FUNCTIONS = [generated_tasks.prepare_table, generated_tasks.prepare_texts]


def encoder_of(space: Workspace, task: Task) -> Encoder:
    """Load the encoder that `prepare` wrote."""
    return Encoder.load(space.out(task.name, "prepare") / "encoder.json")


def all_rows(space: Workspace, task: Task) -> Rows:
    """Read the raw data."""
    rows: Rows = plugins.load("modalities", task.modality)().rows(task, space.raw(task.name))[0]
    return rows


@pytest.mark.parametrize("prepare_task", PREPARE_FUNCTIONS)
def test_training_and_serving_features_are_identical(workspace: Workspace, prepare_task: type) -> None:
    """Rows sent as JSON to the saved encoder one by one give the features of training."""
    task = prepare_task(workspace)
    encoder, rows = encoder_of(workspace, task), all_rows(workspace, task)
    features = {row.tobytes() for row in read_part(workspace.out(task.name, "prepare") / "train.npz")[0]}
    sent = json.loads(json.dumps(encoder.to_json(rows), allow_nan=False))
    served = [encoder.encode(encoder.parse([instance]))[0] for instance in sent]
    assert [row.tobytes() for row in served] == [row.tobytes() for row in encoder.encode(rows)]
    assert features <= {row.tobytes() for row in served}


def test_scaling_uses_the_training_features(workspace: Workspace) -> None:
    """Mean and deviation are computed after filling, clipping and logarithms; flags are not scaled."""
    task = generated_tasks.prepare_table(workspace)
    features, _ = read_part(workspace.out(task.name, "prepare") / "train.npz")
    means, stds = encoder_of(workspace, task).scaling()
    assert len(means) == len(stds) == features.shape[1] == 2 + 1 + 5 + 2 + 2 + 9
    scaled = [i for i, scale in enumerate(zip(means, stds, strict=True)) if scale != PLAIN]
    assert scaled == [0, 2, 12, 13]  # age, income, days, year
    np.testing.assert_allclose(features.mean(axis=0)[scaled], np.array(means)[scaled], rtol=1e-4)
    np.testing.assert_allclose(features.std(axis=0)[scaled], np.array(stds)[scaled], rtol=1e-4)


@pytest.mark.parametrize("prepare_task", PREPARE_FUNCTIONS)
def test_encoder_is_fitted_to_training_rows_only(workspace: Workspace, prepare_task: type) -> None:
    """Fitting to the training rows reproduces the saved encoder; fitting to all rows does not."""
    task = prepare_task(workspace)
    modality = plugins.load("modalities", task.modality)()
    rows, truth = modality.rows(task, workspace.raw(task.name))
    train = split_rows(task.split, SplitInputs(row_keys(rows, task.split.seed)), truth, modality.overlap(task))["train"]
    saved = encoder_of(workspace, task)
    assert task.encoder().fit(task.target, take_rows(rows, train), truth[train]).fitted == saved.fitted
    assert task.encoder().fit(task.target, rows, truth).fitted != saved.fitted


def test_null_is_accepted_but_a_missing_key_is_not(workspace: Workspace) -> None:
    """An explicit null is encoded as missing; an absent key raises an error."""
    task = generated_tasks.prepare_table(workspace)
    encoder = encoder_of(workspace, task)
    unknown = {**task.serve.example, "age": None, "town": None, "member": None, "since": None}
    filled = encoder.encode(encoder.parse([unknown]))[0]
    assert filled[[0, 1]].tolist() == [np.float32(encoder.fitted["age"]["median"]), 1]
    for instance, code, field in (
        ({**unknown, "income": None}, "wrong_type", "instances[0].income"),
        ({name: value for name, value in unknown.items() if name != "age"}, "missing_field", "instances[0].age"),
    ):
        with pytest.raises(RequestError) as caught:
            encoder.parse([instance])
        assert (caught.value.code, caught.value.field) == (code, field)


def test_column_without_values_is_an_error(workspace: Workspace) -> None:
    """The error names the column, and the hint is to leave it out."""
    task = generated_tasks.prepare_table(workspace)
    rows = {**all_rows(workspace, task), "age": np.full(200, np.nan)}
    with pytest.raises(DataError, match=r"columns\.age: expected a value in some training row") as caught:
        task.encoder().fit(task.target, rows, np.arange(200.0))
    assert caught.value.hint == "leave the column out"


@pytest.mark.slow
@pytest.mark.parametrize("prepare_task", PREPARE_FUNCTIONS)
def test_every_column_type_passes_validation(workspace: Workspace, prepare_task: type) -> None:
    """Allowed missing values and alternative notations are not reported."""
    task = prepare_task(workspace)
    assert not validate(workspace, task).failed("critical")


@pytest.mark.slow
def test_text_model_is_trained_and_predicts(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ONNX model predicts from words, also for unknown words only and in small batches."""
    generated_tasks.prepare_texts(workspace)
    train_tasks(workspace, "moods")
    predictor = Predictor.load(workspace.out("moods", "train"))
    kind, rude, unknown = predictor.predict(["Dear friend, THANK you!", "shut up, fool", "xyzzy"])
    assert (kind["label"], rude["label"]) == ("kind", "rude")
    assert np.isfinite(list(unknown["probabilities"].values())).all()
    monkeypatch.setattr("tiltyard.modeling.inference.predictor.PAIRS", 2 * 8**2)  # pairs for texts of eight words
    again = predictor.predict(["Dear friend, THANK you!", "shut up, fool", "xyzzy"])
    assert [one["label"] for one in again] == [one["label"] for one in (kind, rude, unknown)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_codes_stay_text(workspace: Workspace, suffix: str) -> None:
    """Version 1.50 is not 1.5, and true and false are labels, also in files with numbers only."""
    content = {**generated_tasks.TEXTS, "columns": {"release": {"type": "category", "values": ["1.50", "1.5"]}}}
    content |= {"target": {"column": "works", "classes": ["true", "false"]}, "model": {"family": "mlp"}}
    content |= {"serve": {"example": {"release": "1.50"}}}
    files.write_text(workspace.task_file("releases"), yaml.safe_dump(content))
    task, raw = loader.load(workspace, "releases"), workspace.raw("releases") / f"table{suffix}"
    if suffix == ".csv":
        files.write_text(raw, "release,works\n1.50,true\n1.5,false\n1.50,true\n")
    else:
        files.write_text(raw, '{"release": "1.50", "works": true}\n{"release": "1.5", "works": false}\n' * 2)
    rows, truth = plugins.load("modalities", "table")().rows(task, raw.parent)
    assert rows["release"].tolist()[:3] == ["1.50", "1.5", "1.50"]
    assert truth.tolist()[:3] == [0, 1, 0]
