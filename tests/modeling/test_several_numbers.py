"""Several numbers as target: how they are learned, measured and returned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.evaluators.regression import Regression as RegressionEvaluator
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.metrics.scores import row_errors
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.regression import Regression, original, standardised

TARGET = Target.model_validate({"columns": {"width": {"unit": "cm"}, "price": {"log": True}, "label": {}}})


def drawn(rows: int = 80) -> tuple[Array, Array]:
    """Return truth and predictions of three numbers of very different sizes."""
    dice = np.random.default_rng(0)
    truth = np.exp(dice.normal(size=(rows, 3))) * [1.0, 1000.0, 1e-3]
    return truth, truth * (1 + 0.2 * dice.normal(size=(rows, 3)))


def test_metrics_of_each_target_are_those_of_scikit_learn() -> None:
    """RMSE, MAE and R² of each target, and R² averaged over the targets."""
    truth, outputs = drawn()
    evaluator = RegressionEvaluator().of(TARGET)
    values = evaluator.scores(truth, outputs, evaluator.context(truth))
    for place, name in enumerate(TARGET.names):
        one, other = truth[:, place], outputs[:, place]
        assert values[f"{name}.rmse"] == pytest.approx(metrics.root_mean_squared_error(one, other))
        assert values[f"{name}.mae"] == pytest.approx(metrics.mean_absolute_error(one, other))
        assert values[f"{name}.r2"] == pytest.approx(metrics.r2_score(one, other))
    assert values["r2"] == pytest.approx(metrics.r2_score(truth, outputs))
    assert values.keys() == evaluator.metrics.keys()
    for name, metric in evaluator.metrics.items():
        assert metric.score(truth, outputs, evaluator.context(truth)) == values[name]


def test_overall_errors_do_not_depend_on_units() -> None:
    """A target in millimetres counts as much as in kilometres, and a constant target is not divided by 0."""
    truth, outputs = drawn()
    evaluator, factors = RegressionEvaluator().of(TARGET), np.array([1e6, 1.0, 1e-6])
    scores = evaluator.scores(truth, outputs, evaluator.context(truth))
    scaled = evaluator.scores(truth * factors, outputs * factors, evaluator.context(truth * factors))
    for name in ("scaled_rmse", "scaled_mae", "r2"):
        assert scores[name] == pytest.approx(scaled[name])
    constant = np.ones((5, 3))
    assert evaluator.scores(constant, constant, evaluator.context(constant))["scaled_rmse"] == 0


@pytest.mark.parametrize(("metric", "value"), [("scaled_rmse", "scaled_rmse"), ("scaled_mae", "scaled_mae")])
def test_best_constants_have_an_error_of_one(metric: str, value: str) -> None:
    """The baseline on the training rows is what errors are relative to."""
    truth, _ = drawn()
    evaluator = RegressionEvaluator().of(TARGET)
    baseline = evaluator.baseline(truth, {"x": np.zeros(len(truth))}, metric)
    assert evaluator.scores(truth, baseline, evaluator.context(truth))[value] == pytest.approx(1)


def test_report_names_rows_and_targets() -> None:
    """The largest error in deviations comes first, with the row and the target; each target has plots of its own."""
    truth, outputs = drawn()
    outputs[7, 2] = 50.0  # a small error beside prices, but far from all others of its target
    evaluator = RegressionEvaluator().of(TARGET)
    predictions = Predictions(truth, outputs, outputs, np.arange(80) + 100, [], "")
    details = evaluator.details(predictions)
    assert (details["worst"][0]["row"], details["worst"][0]["target"]) == (107, "label")
    assert [record["target"] for record in details["per_target"]] == ["width (cm)", "price", "label"]
    titles = [figure.title for figure in evaluator.figures(predictions)]
    assert [f"Predicted and actual: {name}" in titles for name in TARGET.names] == [True] * 3
    assert {len(column) for column in evaluator.plots(predictions)["residuals"].values()} == {240}


def test_row_errors_are_in_deviations() -> None:
    """The worst rows are not those of the target with the largest numbers."""
    truth, outputs = np.zeros((2, 2)), np.array([[100.0, 0.0], [0.0, 1.0]])
    scales = np.array([1000.0, 0.1])
    assert row_errors(truth, outputs, labels=False, scales=scales).tolist() == [0.05, 5.0]


def test_numbers_are_learned_each_in_its_own_scale() -> None:
    """Mean 0 and deviation 1 for each target, of the logarithm where wanted; the opposite gives the numbers back."""
    truth, _ = drawn()
    fitted = Regression().fit(TARGET, truth)
    learned = standardised(truth, fitted)
    assert learned.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert learned.std(axis=0) == pytest.approx(np.ones(3))
    assert learned[:, 1].max() < 5 < standardised(truth, {**fitted, "log": None})[:, 1].max()
    assert original(learned, fitted) == pytest.approx(truth)
    assert fitted["log"][0] is None
    plain = Target.model_validate({"columns": {"a": {}, "b": {}}})
    assert "log" not in Regression().fit(plain, truth[:, :2])


def test_negative_numbers_beside_logarithms_are_kept() -> None:
    """A target below -1 has no logarithm, and needs none because another one has."""
    target = Target.model_validate({"columns": {"a": {}, "b": {"log": True}}})
    truth = np.array([[-5.0, 1.0], [-7.0, 2.0], [9.0, 30.0]])
    assert original(standardised(truth, fitted := Regression().fit(target, truth)), fitted) == pytest.approx(truth)


def test_predictions_are_named() -> None:
    """In JSON an object, for tensors an array for each name; the schema requires all names."""
    fitted = Regression().fit(TARGET, drawn()[0])
    problem = Regression().fitted_to(fitted)
    outputs = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    assert problem.decode(outputs, []) == [{"width": 1.0, "price": 2.0, "label": 3.0}]
    arrays = problem.decode_arrays(outputs, [])
    assert arrays is not None
    assert [array.tolist() for array in arrays] == [[1.0], [2.0], [3.0]]
    schema = problem.json_schema(TARGET)
    assert schema["required"] == ["width", "price", "label"]
    assert schema["properties"]["width"] == {"type": "number", "description": "width cm"}
    assert problem.purpose(TARGET) == "the numbers `width` (cm), `price`, `label`"


def content(**changes: Any) -> dict[str, Any]:
    """Return the content of a task file with two targets."""
    return {
        "name": "boxes",
        "title": "Boxes",
        "problem": "regression",
        "source": {"kind": "file", "path": "boxes.csv"},
        "rows": [100, 1000],
        "columns": {"x": {"type": "number"}},
        "target": {"columns": {"width": {"bounds": [0, 9]}, "height": {}}},
        "split": {"kind": "random"},
        "model": {"family": "mlp"},
        "train": {"epochs": 1},
        "gate": {"metric": "scaled_rmse"},
        "serve": {"example": {"x": 1}},
        **changes,
    }


def test_task_with_several_targets_is_valid() -> None:
    """Each target has settings of its own, and a single target is written as before."""
    task = Task.model_validate(content())
    assert task.target.names == ["width", "height"]
    assert [part.bounds for part in task.target.parts] == [(0, 9), None]
    assert task.metric.title.startswith("Scaled RMSE")
    assert {"columns", "column"}.isdisjoint(Target(column="x").model_dump().keys() - {"column"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target": {"columns": {"a": {}, "b": {}}, "column": "a"}},
            "column, or columns for several numbers; received",
        ),
        ({"target": {}}, "target: expected the column to predict for regression; received none"),
        ({"target": {"columns": {"a": {}, "b": {}}, "log": True}}, "such as columns.a.log; received it here"),
        ({"target": {"columns": {"a": {}}}}, "at least 2 items"),
        ({"target": {"columns": {"x": {}, "b": {}}}}, "columns.x: expected features only; this is the target"),
        ({"gate": {"metric": "rmse"}}, "gate.metric: expected one of scaled_rmse, scaled_mae, r2, width.rmse"),
        ({"model": {"family": "linear"}}, "a family that predicts several numbers; received linear"),
        (
            {"gate": {"metric": "r2", "behaviours": [{"vary": "x", "by": 1, "never": "lower"}]}},
            "a rule names no target",
        ),
        ({"columns": {"x": {"type": "image", "height": 8, "width": 8}}}, "received image columns"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    """With the key, what was expected, and what was received."""
    with pytest.raises(ValueError, match=r"(?s)") as caught:
        Task.model_validate(content(**changes))
    assert message in str(caught.value)
