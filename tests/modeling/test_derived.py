"""Derived features: exact on worked tables, bounded for all numbers, the same in NumPy, Keras and the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from workspaces import fetch_raw, run_in_process, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.errors import RequestError, TaskError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.modeling.columns._derived import Derived
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.regression import Regression
from tiltyard.modeling.references import base
from tiltyard.modeling.references.linear import Linear
from tiltyard.preparation import prepare
from tiltyard.serving.model.compiled_request import compile_request
from tiltyard.serving.packaging import package
from tiltyard.workspace import Workspace

EVERY: dict[str, dict[str, Any]] = {
    "ratio": {"op": "ratio", "of": ["a", "b"]},
    "difference": {"op": "difference", "of": ["a", "b"]},
    "product": {"op": "product", "of": ["a", "b", "a"]},
    "cube": {"op": "power", "of": ["a"], "exponent": 3},
    "root": {"op": "power", "of": ["b"], "exponent": 0.5},
    "edges": {"op": "bins", "of": ["a"], "edges": [0.0, 10.0]},
    "fifths": {"op": "bins", "of": ["a"], "count": 5},
    "scaled": {"op": "min_max", "of": ["b"]},
    "logarithm": {"op": "log", "of": ["a"]},
}


def values(settings: dict[str, Any], *columns: list[float], known: list[float] | None = None) -> list[float]:
    """Compute a derived feature of columns; it is fitted to them, or to `known`."""
    derived = Derived(**settings)
    operands = [np.array(column) for column in columns]
    fitted = derived.fit(np.array(known)[:, None] if known else np.stack(operands, axis=1))
    return list(np.asarray(derived.values(operands, fitted)).tolist())


def test_price_per_square_foot() -> None:
    """The worked table of houses: price by square feet; a house without area has 0."""
    prices, feet = [221_900.0, 538_000.0, 180_000.0, 604_000.0], [1_180.0, 2_570.0, 770.0, 0.0]
    assert values(EVERY["ratio"], prices, feet) == [221_900 / 1_180, 538_000 / 2_570, 180_000 / 770, 0.0]


def test_quantising() -> None:
    """A value belongs to the bin whose edge it reaches; with a count, each bin has as many training rows."""
    ages = [3.0, 17.9, 18.0, 40.0, 65.0, 99.0]
    assert values({"op": "bins", "of": ["a"], "edges": [18.0, 40.0, 65.0]}, ages) == [0, 0, 1, 2, 3, 3]
    assert values({"op": "bins", "of": ["a"], "count": 4}, [float(n) for n in range(1, 9)]) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_min_max() -> None:
    """The smallest training value becomes 0, the largest 1; others may lie outside, and a constant becomes 0."""
    scaled = {"op": "min_max", "of": ["a"]}
    assert values(scaled, [10.0, 15.0, 20.0, 30.0]) == [0.0, 0.25, 0.5, 1.0]
    assert values(scaled, [5.0, 40.0], known=[10.0, 30.0]) == [-0.25, 1.5]
    assert values(scaled, [7.0, 7.0]) == [0.0, 0.0]


def test_other_operations() -> None:
    """Differences, products, powers and logarithms are those of the columns."""
    assert values(EVERY["difference"], [5.0, -1.0], [3.0, 4.0]) == [2.0, -5.0]
    assert values({"op": "product", "of": ["a", "b"]}, [5.0, -1.0], [3.0, 4.0]) == [15.0, -4.0]
    assert values(EVERY["cube"], [2.0, -3.0]) == [8.0, -27.0]
    assert values(EVERY["root"], [9.0, -9.0, 0.0]) == [3.0, 0.0, 0.0]
    assert values(EVERY["logarithm"], [0.0, np.e - 1, -5.0]) == pytest.approx([0.0, 1.0, 0.0])


def fitted_encoder() -> tuple[Encoder, Array]:
    """Return an encoder of two columns with every operation, and encoded rows."""
    generator = np.random.default_rng(0)
    rows = {"a": generator.normal(size=500) * 1e3, "b": np.where(generator.random(500) < 0.1, 0.0, 2.0)}
    columns: dict[str, Column] = {"a": Number(), "b": Number(missing="median")}
    derived = {name: Derived(**settings) for name, settings in EVERY.items()}
    encoder = Encoder("t", Regression(), columns, {}, {}, [], bare=False, max_instances=10, derived=derived)
    encoder = encoder.fit(Target(column="y"), rows, rows["a"])
    features = encoder.encode(rows)
    return encoder.with_derived(features), features


HOSTILE = [
    *([0.0, 0.0, 0.0], [3e38, 3e38, 0.0], [-3e38, 2e-38, 0.0]),
    *([3e38, -1e-31, 1.0], [1e30, 0.0, 0.0], [-0.0, 5.0, 1.0]),
]
TINY = [[3e38, -1e-40, 1.0], [-3e38, 1e-44, 0.0]]  # some processors count such numbers as 0


def _graph_values(rows: list[list[float]]) -> list[list[float]]:
    """Return what a Keras graph computes for encoded rows."""
    import keras

    encoder, _ = fitted_encoder()
    features = keras.Input((3,))
    model = keras.Model(features, encoder.widened(features, keras.ops))
    outputs: list[list[float]] = np.asarray(model(np.array(rows, dtype=np.float32))).tolist()
    return outputs


@pytest.mark.slow
def test_graph_computes_what_numpy_does() -> None:
    """On ordinary and on extreme rows, both have the same finite values; on tiny numbers, finite ones."""
    encoder, features = fitted_encoder()
    rows = np.concatenate([features[:50], np.array(HOSTILE + TINY, dtype=np.float32)])
    expected, received = encoder.widened(rows), np.array(run_in_process(_graph_values, rows.tolist()))
    assert expected.shape == (58, 3 + len(EVERY))
    assert np.isfinite(expected).all()
    assert np.isfinite(received).all()
    np.testing.assert_allclose(received[:56], expected[:56], rtol=1e-5, atol=1e-6)


def test_encoder_is_saved_with_what_was_fitted(tmp_path: Path) -> None:
    """A loaded encoder computes the same features; without derived ones, the file has no such keys."""
    encoder, features = fitted_encoder()
    encoder.save(tmp_path / "encoder.json")
    again = Encoder.load(tmp_path / "encoder.json")
    assert np.array_equal(again.widened(features), encoder.widened(features))
    mean, std = encoder.widened_scaling()
    standardised = (encoder.widened(features).astype(np.float64) - mean) / std
    assert np.abs(standardised.mean(axis=0)[3:]).max() < 1e-4
    plain, _ = fitted_encoder()
    Encoder("t", plain.problem, plain.columns, plain.fitted, {}, [], bare=False, max_instances=10).save(
        tmp_path / "plain.json"
    )
    assert not {"derived", "derived_fitted"} & files.read_json(tmp_path / "plain.json").keys()


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"x": {"op": "ratio", "of": ["bmi"]}}, "of: expected 2 columns for ratio; received 1"),
        ({"x": {"op": "product", "of": ["bmi"]}}, "of: expected 2 to 8 columns for product; received 1"),
        ({"x": {"op": "power", "of": ["bmi"]}}, "exponent: expected for power, and only then"),
        ({"x": {"op": "log", "of": ["bmi"], "exponent": 2}}, "exponent: expected for power, and only then"),
        ({"x": {"op": "log", "of": ["bmi"], "count": 2}}, "expected only for bins; received them for log"),
        ({"x": {"op": "bins", "of": ["bmi"]}}, "bins: expected either edges or count"),
        ({"x": {"op": "bins", "of": ["bmi"], "edges": [2, 1]}}, "edges: expected rising numbers"),
        ({"x": {"op": "eval", "of": ["bmi"]}}, "op"),
        (
            {"x": {"op": "log", "of": ["sex"]}},
            "derived.x.of: expected number columns out of age, bmi, .*; received sex",
        ),
        ({"x": {"op": "log", "of": ["nobody"]}}, "expected number columns out of .*; received nobody"),
        ({"bmi": {"op": "log", "of": ["bmi"]}}, "derived.bmi: expected a name that no column and no target has"),
        ({"progression": {"op": "log", "of": ["bmi"]}}, "expected a name that no column and no target has"),
    ],
)
def test_wrong_settings_are_refused(workspace: Workspace, derived: dict[str, Any], message: str) -> None:
    """Each error names the key, the expected and the received value."""
    content = yaml.safe_load(workspace.task_file("diabetes").read_text(encoding="utf-8"))
    workspace.task_file("diabetes").write_text(yaml.safe_dump(content | {"derived": derived}))
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, "diabetes")


def test_column_of_logarithms_is_refused(workspace: Workspace) -> None:
    """A column with log has other values in the graph: a ratio of these is not what its name says."""
    content = yaml.safe_load(workspace.task_file("diabetes").read_text(encoding="utf-8"))
    content["columns"]["bmi"]["log"] = True
    content["derived"] = {"x": {"op": "ratio", "of": ["bmi", "bp"]}}
    workspace.task_file("diabetes").write_text(yaml.safe_dump(content))
    with pytest.raises(TaskError, match="expected a column that keeps its values, without log; received bmi"):
        loader.load(workspace, "diabetes")


def test_references_see_derived_features() -> None:
    """A linear model learns a product exactly, if it is a feature, and not without it."""
    generator = np.random.default_rng(0)
    rows = {name: generator.normal(size=400) for name in ("a", "b")}
    truth = rows["a"] * rows["b"]
    errors = []
    without: dict[str, Derived] = {}
    for derived in (without, {"product": Derived(op="product", of=["a", "b"])}):
        columns: dict[str, Column] = {"a": Number(), "b": Number()}
        encoder = Encoder("t", Regression(), columns, {}, {}, [], bare=False, max_instances=9, derived=derived)
        encoder = encoder.fit(Target(column="y"), rows, truth)
        features = encoder.encode(rows)
        subject = base.Subject("table", encoder.with_derived(features))
        train = features[:300], truth[:300]
        (linear,) = (r for r in base.candidates(subject, train) if type(r.model) is Linear)
        errors.append(float(np.abs(linear.outputs(features[300:])[:, 0] - truth[300:]).mean()))
    assert errors[1] < 0.05
    assert errors[0] > 0.5


@pytest.fixture
def task_with_derived(workspace: Workspace) -> Workspace:
    """Diabetes with a derived feature of every operation, trained and exported."""
    content = yaml.safe_load(workspace.task_file("diabetes").read_text(encoding="utf-8"))
    place = {"a": "bmi", "b": "bp"}
    content["derived"] = {
        name: settings | {"of": [place[operand] for operand in settings["of"]]} for name, settings in EVERY.items()
    }
    workspace.task_file("diabetes").write_text(yaml.safe_dump(content))
    fetch_raw(workspace, "diabetes")
    prepare.prepare(workspace, loader.load(workspace, "diabetes"))
    train_tasks(workspace, "diabetes")
    return workspace


@pytest.mark.slow
def test_trained_model_computes_derived_features_itself(task_with_derived: Workspace) -> None:
    """Clients send the columns alone, on both paths of the service; schema and card say what the model computes."""
    workspace, task = task_with_derived, loader.load(task_with_derived, "diabetes")
    train = workspace.out("diabetes", "train")
    record = files.read_json(train / "training.json")
    assert record["parity"] < 1e-4
    evaluate(workspace, task)
    predictor = Predictor.load(train)
    sent = len(predictor.encoder.scaling()[0])
    assert record["parameters"] == (sent + len(EVERY) + 1) * 32 + (32 + 1) * 16 + 16 + 1
    compiled = compile_request(predictor, "v")
    assert compiled is not None
    row = task.serve.example
    response = compiled.respond(json.dumps({"instances": [row]}).encode())
    assert response is not None
    (prediction,) = json.loads(response[0])["predictions"]
    general = predictor.encoder.decode(predictor.outputs(predictor.encoder.parse([row])))
    assert prediction == pytest.approx(general[0], rel=1e-6)
    with pytest.raises(RequestError) as caught:
        predictor.encoder.parse([{**row, "ratio": 0.3}])
    assert (caught.value.code, caught.value.field) == ("unknown_field", "instances[0].ratio")
    folder = workspace.root / "package"
    package.write(workspace, task, folder, read_evaluated(workspace, task))
    schema = files.read_json(folder / "schema.json")
    assert {*schema["instance"]["properties"]} == {*task.columns}
    assert schema["derived"]["ratio"]["formula"] == "bmi / bp"
    assert "bmi / bp, computed by the model, not sent" in (folder / "card.md").read_text(encoding="utf-8")
