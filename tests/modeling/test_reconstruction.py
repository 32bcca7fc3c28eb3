"""Reconstruction: columns back from their features, PCA, and what a task file may not ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machines import KINDS, TASK, write_machines
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.principal_components import PrincipalComponents
from tiltyard.modeling.problems.reconstruction import Reconstruction, restored, standardised
from tiltyard.workspace import Workspace

VALUES: list[tuple[Column, list[Any]]] = [
    (Number(), [1.5, -2.0, 40.0]),
    (Number(missing="median"), [1.5, None, 7.25]),
    (Number(log=True), [0.0, 10.0, 12345.0]),
    (Boolean(), [True, False, True]),
    (Boolean(missing="bucket"), [True, None, False]),
    (Category(values=KINDS), KINDS),
    (Category(values=[1, 2, 3]), [3, 1, 2]),
    (Category(values=KINDS, missing="bucket"), ["saw", None, "drill"]),
    (Category(unseen="bucket"), ["b", "a", "b"]),
    (Category(values=KINDS, drop_first=True), ["drill", "saw", "lathe"]),
    (Image(height=2, width=2), [[[0.0, 51.0], [102.0, 255.0]]] * 3),
    (Series(window=3), [[1.0, 2.0, 4.0], [2.0, 4.0, 3.0], [4.0, 3.0, 8.0]]),
    (Series(window=2, log=True), [[0.0, 100.0], [100.0, 3.0], [3.0, 8.0]]),
]


def encoder_of(column: Column, values: list[Any]) -> Encoder:
    """Return an encoder of one column that is fitted to these values."""
    parsed = column.parse(values, "x")
    fitted, bare = {"x": column.fit(parsed)}, column.type in ("image", "series")
    return Encoder("t", Reconstruction(), {"x": column}, fitted, {"code": 1}, [], bare=bare, max_instances=9)


@pytest.mark.parametrize(("column", "values"), VALUES, ids=[f"{c.type} {n}" for n, (c, _) in enumerate(VALUES)])
def test_perfect_reconstruction_is_the_instance(column: Column, values: list[Any]) -> None:
    """Features that are reconstructed exactly become the values that a client sent."""
    encoder = encoder_of(column, values)
    features = standardised(encoder, encoder.encode({"x": column.parse(values, "x")}))
    found = restored(encoder, features)["x"]
    if column.type in ("image", "series"):
        assert np.allclose(found, values, atol=1e-3)
    else:
        assert found == [pytest.approx(v, rel=1e-5, abs=1e-5) if isinstance(v, float) else v for v in values]


def test_columns_that_can_be_restored_have_a_schema() -> None:
    """Each column type that says so returns values and their schema; dates and texts do not say so."""
    restoring = {name for name in plugins.names("columns") if plugins.load("columns", name).restores}
    assert restoring == {column.type for column, _ in VALUES}
    assert all(column.restored_schema() for column, _ in VALUES)


@pytest.mark.parametrize("rows", [1000, 40])
def test_principal_components_agree_with_scikit_learn(rows: int) -> None:
    """With more rows than features and with fewer, reconstructions are those of scikit-learn's PCA."""
    pixels = load_digits().data / 16
    expected = PCA(8, svd_solver="full").fit(pixels[:rows])
    found = PrincipalComponents.of(pixels[:rows], 8).reconstruct(pixels[1000:].astype(np.float32))
    assert np.allclose(found, expected.inverse_transform(expected.transform(pixels[1000:])), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"target": {"column": "wear"}}, "target: expected none for reconstruction"),
        ({"model": {"family": "mlp"}}, "model.family: expected autoencoder for reconstruction; received mlp"),
        ({"problem": "regression"}, "target: expected the column to predict for regression; received none"),
        (
            {"columns": {**TASK["columns"], "day": {"type": "date"}}},
            "columns: expected numbers, names, flags or images for reconstruction; received day, date",
        ),
        ({"derived": {"x": {"op": "product", "of": ["load", "heat"]}}}, "derived: expected none for"),
        ({"gate": {"metric": "mse", "sensitive": ["kind"]}}, "expected no behaviours and no sensitive columns"),
        ({"gate": {"metric": "rmse"}}, "gate.metric: expected one of mse, psnr for reconstruction; received rmse"),
        ({"train": {"epochs": 1, "folds": 3}}, "train.folds: expected none for reconstruction"),
        ({"train": {"epochs": 1, "members": 3}}, "train.members: expected none for reconstruction"),
        ({"model": {"family": "autoencoder", "blend_references": True}}, "of two models are not averaged"),
        ({"model": {"family": "autoencoder", "output": "softmax"}}, "model.output: expected linear or sigmoid"),
        ({"serve": {**TASK["serve"], "max_instances": 500_000}}, "serve.max_instances: expected at most"),
        (
            {"model": {"family": "autoencoder", "contraction": 0.1}},
            "contraction: expected one layer before the decoder",
        ),
        (
            {"model": {"family": "autoencoder", "code_activation": "relu", "sparsity": {"weight": 1}}},
            "sparsity: expected code_activation: sigmoid; received relu",
        ),
        ({"model": {"family": "autoencoder", "filters": [8]}}, "filters: expected for kind: conv"),
        ({"split": {"kind": "stratified"}}, "split.kind: expected random or chronological"),
    ],
)
def test_task_files_that_make_no_sense_are_refused(workspace: Workspace, changes: dict[str, Any], text: str) -> None:
    """The message names the key, the expected and the received."""
    write_machines(workspace, **changes)
    with pytest.raises(TaskError) as caught:
        loader.load(workspace, "machines")
    assert text in str(caught.value)


def test_autoencoders_reconstruct_only(workspace: Workspace) -> None:
    """The family is refused for a problem with a target."""
    content: dict[str, Any] = {"problem": "regression", "target": {"column": "wear"}, "gate": {"metric": "rmse"}}
    write_machines(workspace, **content)
    with pytest.raises(TaskError, match="expected another than autoencoder for regression"):
        loader.load(workspace, "machines")


def test_large_images_allow_few_instances(workspace: Workspace) -> None:
    """A response has at most 2^22 numbers: 4 images of a megapixel."""
    image = {"type": "image", "height": 1000, "width": 1000}
    serve = {"max_instances": 5, "example": [[0] * 1000] * 1000}
    write_machines(workspace, columns={"image": image}, gate={"metric": "mse"}, serve=serve)
    with pytest.raises(TaskError, match="expected at most 4, since a response has 1,000,003 numbers"):
        loader.load(workspace, "machines")
