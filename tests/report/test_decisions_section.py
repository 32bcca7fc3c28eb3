"""Thresholds, gain, lift and reliability of classifiers, and errors by feature and slice."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.figures import Figure
from tiltyard.modeling.metrics.confusion_matrix import matrix
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.report.sections import decisions, errors
from tiltyard.report.sections.decisions import decision_figures, threshold_figure, wilson, with_intervals
from tiltyard.workspace import Workspace

ROWS = 400


@pytest.fixture(scope="module")
def churn() -> Task:
    """A task with two classes."""
    return loader.load(Workspace(ROOT), "churn")


def binary(threshold: float | None = None, rows: int = ROWS) -> Predictions:
    """Return predictions of two classes that overlap; the second is rarer."""
    generator = np.random.default_rng(0)
    truth = (generator.random(rows) < 0.25).astype(np.int64)
    score = np.clip(0.2 + 0.4 * truth + 0.2 * generator.normal(size=rows), 0.01, 0.99)
    outputs = np.stack([1 - score, score], axis=1)
    return Predictions(truth, outputs, outputs, np.arange(rows), ["no", "yes"], "left", threshold)


@pytest.mark.parametrize("own", [None, 0.3])
def test_counts_at_each_threshold_are_those_of_the_confusion_matrix(own: float | None) -> None:
    """At every step of the slider, and the model's own threshold is one of them."""
    predictions = binary(own)
    slider = threshold_figure(["no", "yes"], predictions.outputs[:, 1], predictions.truth == 1, own).data["slider"]
    for threshold, found, alarms in zip(slider["thresholds"], slider["found"], slider["alarms"], strict=True):
        table = matrix(predictions.truth, predictions.outputs, threshold)
        assert [found, alarms] == pytest.approx([table[1, 1], table[0, 1]], abs=1)  # thresholds have six digits
    assert slider["own"] == (own or 0.5)
    assert slider["own"] in slider["thresholds"]
    at_own = slider["thresholds"].index(slider["own"])
    table = matrix(predictions.truth, predictions.outputs, slider["own"])
    assert [slider["found"][at_own], slider["alarms"][at_own]] == [table[1, 1], table[0, 1]]


def test_gain_and_lift_agree_with_counts(churn: Task) -> None:
    """The last point is all rows: everything is found, and the lift is 1."""
    predictions = binary()
    figures = {figure.title: figure for figure in decision_figures(churn, predictions)}
    gain, lift = (figures[title].data["lines"][0] for title in ("Gain by rows", "Lift"))
    assert (gain["x"][-1], gain["y"][-1], lift["y"][-1]) == pytest.approx((1, 1, 1))
    place = int(np.argmin(np.abs(np.array(lift["x"]) - 0.25)))
    rows = round(lift["x"][place] * ROWS)
    expected = predictions.truth[np.argsort(-predictions.outputs[:, 1], kind="stable")[:rows]].mean()
    assert lift["y"][place] == pytest.approx(expected / predictions.truth.mean(), rel=1e-4)


def test_wilson_interval_has_its_published_ends() -> None:
    """For 5 and 0 of 10 at 95 %; it never leaves 0 to 1."""
    assert wilson(0.5, 10, 0.95) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0.0, 10, 0.95) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(1.0, 10, 0.95) == pytest.approx((0.7225, 1), abs=1e-4)
    assert wilson(0.5, 0, 0.95) == (0.0, 1.0)


def test_calibration_has_intervals(churn: Task) -> None:
    """Each point of the curve lies in its interval; other figures are unchanged."""
    figures = churn.evaluator.figures(binary())
    (calibration,) = [with_intervals(figure, 0.95) for figure in figures if figure.title == "Calibration"]
    curve = calibration.data["lines"][0]
    for low, share, high in zip(curve["low"], curve["y"], curve["high"], strict=True):
        assert low <= share <= high
    assert "low" not in calibration.data["lines"][1]
    assert with_intervals(figures[0], 0.95) is figures[0]


@pytest.mark.parametrize("classes", [3, 200])
def test_many_classes_and_one_class_are_drawn(churn: Task, classes: int) -> None:
    """Curves are bounded, and rows that all have one class give no curve."""
    names = [f"c{place}" for place in range(classes)]
    task = churn.model_copy(update={"target": churn.target.model_copy(update={"classes": names})})
    outputs = np.random.default_rng(0).dirichlet(np.ones(classes), ROWS)
    several = Predictions(np.arange(ROWS) % classes, outputs, outputs, np.arange(ROWS), names)
    drawn = {figure.title: figure for figure in decision_figures(task, several)}
    assert len(drawn["Lift"].data["lines"]) <= decisions.MAX_CURVES + 1
    one = Predictions(np.zeros(1, dtype=np.int64), outputs[:1], outputs[:1], np.arange(1), names)
    assert [figure.title for figure in decision_figures(task, one)] == ["Distribution of probabilities"]
    invalid = Predictions(several.truth, np.full_like(outputs, np.nan), outputs, several.number, names)
    assert decision_figures(task, invalid) == []


def _rows(task: Task, rows: int) -> dict[str, Array]:
    """Return rows in which Age is wrong in its upper half, and Geography says nothing."""
    values: dict[str, Any] = {name: np.zeros(rows) for name in task.columns}
    values["Age"] = np.linspace(20, 80, rows)
    values["Geography"] = np.array(["France", "Spain"])[np.arange(rows) % 2]
    values["Gender"] = np.array(["Male"] * rows)
    return values


def figures_of(section: Any) -> list[str]:
    """Return the titles of the figures of a section."""
    return [part.split("</h3>")[0] for part in section.content.split("<h3>")[1:]]


def test_errors_are_counted_by_feature(churn: Task) -> None:
    """The feature where errors differ most is first; constant ones and groups of few rows are left out."""
    predictions = binary()
    wrong = np.arange(ROWS) >= ROWS // 2
    outputs = np.stack([(predictions.truth == 0) ^ wrong, (predictions.truth == 1) ^ wrong], axis=1).astype(np.float64)
    predictions = Predictions(predictions.truth, outputs, outputs, predictions.number, ["no", "yes"])
    section = errors.features_section(churn, predictions, _rows(churn, ROWS))
    assert figures_of(section) == ["Errors by Age", "Errors by Geography"]
    assert "20 to 32 (80)" in section.content
    few = Predictions(*(getattr(predictions, name)[:1] for name in ("truth", "outputs", "baseline", "number")))
    assert errors.features_section(churn, few, _rows(churn, 1)).content == ""


def test_slices_have_intervals(churn: Task) -> None:
    """The value of each slice lies in its interval; dependent rows have none."""
    predictions, rows = binary(), _rows(churn, ROWS)
    places = {name: np.flatnonzero(rows["Geography"] == name) for name in ("France", "Spain")}
    records = [
        {
            "slice": f"Geography {name}",
            "rows": len(index),
            "value": churn.metric.score(predictions.truth[index], predictions.outputs[index], {}),
        }
        for name, index in places.items()
    ]
    report = {"slices": records}
    for record in errors.slice_records(churn, report, predictions, rows, {}):
        assert 0.5 < record["from"] < record["value"] < record["to"] <= 1
        assert "<svg" in record["drawn"].html
    assert errors.slice_records(churn, {**report, "dependence": {"units": 3}}, predictions, rows, {}) == records


def test_figures_are_json(churn: Task) -> None:
    """No value is a NumPy number, which JSON cannot write."""
    for figure in decision_figures(churn, binary(0.4)):
        assert isinstance(figure, Figure)
        json.dumps(figure.data, allow_nan=False)
