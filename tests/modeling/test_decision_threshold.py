"""The decision threshold of a rare label: chosen on validation rows, saved with the model, and used everywhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspaces import ROOT

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.modeling.evaluators.classification import Classification
from tiltyard.modeling.evaluators.multilabel import Multilabel as Several
from tiltyard.modeling.inference.decision_threshold import (
    FEWEST,
    DecisionThreshold,
    choose,
    decide,
    described,
    rare_label,
)
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.confusion_matrix import binary_metrics, matrix
from tiltyard.modeling.metrics.curves import roc
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import labels
from tiltyard.modeling.problems.multilabel import Multilabel
from tiltyard.training import finish, network
from tiltyard.workspace import Workspace


def f1_of(truth: Array, predicted: Array, rare: int) -> float:
    """Return the F1 of a label by its definition."""
    right = ((predicted == rare) & (truth == rare)).sum()
    return float(2 * right / ((predicted == rare).sum() + (truth == rare).sum()))


@given(st.integers(0, 2**32), st.integers(10, 60), st.integers(1, 4), st.sampled_from([0, 1]), st.sampled_from("fd"))
def test_threshold_has_the_largest_f1(seed: int, rows: int, digits: int, rare: int, kind: str) -> None:
    """No other threshold is better, whichever label is rare, with ties and in both precisions."""
    generator = np.random.default_rng(seed)
    truth = np.where(generator.random(rows) < 0.3, rare, 1 - rare)
    truth[:FEWEST] = rare
    second = generator.random(rows).round(digits).astype(kind)
    threshold = choose(truth, np.stack([1 - second, second], axis=1), rare)
    assert threshold is not None
    found = f1_of(truth, labels(second[:, None], threshold), rare)
    others = [f1_of(truth, labels(second[:, None], each), rare) for each in np.linspace(0, 1.001, 300)]
    assert found >= max(others) - 1e-9


@pytest.mark.parametrize(
    ("counts", "classes", "rare"),
    [([995, 5], 2, 1), ([5, 995], 2, 0), ([90, 10], 2, None), ([91, 9], 2, 1), ([100, 0], 2, None), ([99, 1], 3, None)],
)
def test_label_below_a_tenth_is_rare(counts: list[int], classes: int, rare: int | None) -> None:
    """Only of two labels, and only if it occurs."""
    assert rare_label(np.repeat([0, 1], counts), classes) == rare


def test_two_rows_give_no_threshold() -> None:
    """It would be about these two rows."""
    truth, shares = np.array([0] * 50 + [1] * 2), np.tile([0.9, 0.1], (52, 1))
    assert choose(truth, shares, 1) is None


def fraud_task() -> Task:
    """Return a task with two labels."""
    task = loader.load(Workspace(ROOT), "iris")
    return task.model_copy(update={"target": task.target.model_copy(update={"classes": ["ok", "fraud"]})})


def rows_with(probabilities: Array, truth: Array) -> tuple[Array, Array]:
    """Return a part whose features are the outputs of the model."""
    return probabilities[:, None], truth


def test_threshold_is_that_of_the_validation_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training rows with other outputs do not matter, and test rows cannot be read."""
    generator = np.random.default_rng(0)
    truth = np.repeat([0, 1], [950, 50])
    train_rows = rows_with(np.where(truth == 1, 0.9, 0.1), truth)
    validation = rows_with(np.where(truth == 1, 0.2, 0.02) + 0.05 * generator.random(1000), truth)
    monkeypatch.setattr(network, "outputs", lambda _, features: features)
    monkeypatch.setattr(network, "build_inference", lambda *_: None)
    parts: Any = SimpleNamespace(encoder=fraud_task().encoder(), train=train_rows, validation=validation)
    model: Any = None
    threshold = finish.with_threshold(fraud_task(), parts, model)[0].problem.threshold
    assert isinstance(threshold, float)
    assert 0.07 < threshold < 0.2
    assert set(vars(parts)) == {"encoder", "train", "validation"}
    often: Any = SimpleNamespace(encoder=fraud_task().encoder(), train=rows_with(truth, truth % 2), validation=None)
    often.train = (often.train[0], np.arange(1000) % 2)
    assert finish.with_threshold(fraud_task(), often, model)[0] is often.encoder


def test_threshold_is_saved_and_decides_everywhere(tmp_path: Path) -> None:
    """JSON predictions and tensors of a loaded encoder have the label by the threshold, and unchanged probabilities."""
    encoder = fraud_task().encoder()
    encoder.with_threshold(0.1).save(tmp_path / "encoder.json")
    loaded = Encoder.load(tmp_path / "encoder.json")
    outputs = np.array([[0.92, 0.08], [0.88, 0.12], [0.3, 0.7]])
    assert [answer["label"] for answer in loaded.decode(outputs)] == ["ok", "fraud", "fraud"]
    assert [answer["label"] for answer in encoder.decode(outputs)] == ["ok", "ok", "fraud"]
    arrays = loaded.problem.decode_arrays(outputs, loaded.classes)
    assert arrays is not None
    assert arrays[0].tolist() == ["ok", "fraud", "fraud"]
    assert arrays[1].tolist() == outputs.tolist()
    single = loaded.problem.decode(outputs[:, 1:], loaded.classes)
    assert [answer["label"] for answer in single] == ["ok", "fraud", "fraud"]


def test_encoder_without_threshold_is_written_as_before(tmp_path: Path) -> None:
    """The version of a model without a rare label stays the same."""
    fraud_task().encoder().save(tmp_path / "encoder.json")
    assert "threshold" not in (tmp_path / "encoder.json").read_text()


def test_report_uses_the_threshold(tmp_path: Path) -> None:
    """The confusion matrix, recall by class and wrong rows are by the labels that are served, also when read back."""
    truth, outputs = np.array([0, 0, 1, 1]), np.array([[0.95, 0.05], [0.8, 0.2], [0.85, 0.15], [0.97, 0.03]])
    evaluated = Predictions(truth, outputs, outputs, np.arange(4), ["ok", "fraud"], "kind", 0.1)
    evaluated.save(tmp_path / "predictions.npz")
    again = Predictions.load(tmp_path / "predictions.npz", ["ok", "fraud"], "kind")
    assert again.threshold == 0.1
    details = Classification().details(again)
    assert details["confusion"] == [[1, 1], [1, 1]]
    assert [row["row"] for row in details["worst"]] == [3, 1]
    assert Classification().plots(again)["confusion"]["predicted"] == ["ok", "fraud", "fraud", "ok"]


def rates_of(truth: Array, score: Array, threshold: float) -> tuple[float, float, float]:
    """Return recall, precision and false positive rate by their definition."""
    predicted = score >= threshold
    hits = (predicted & truth).sum()
    return float(hits / truth.sum()), float(hits / max(predicted.sum(), 1)), float((predicted & ~truth).mean())


@given(st.integers(0, 2**32), st.integers(20, 80), st.integers(1, 3), st.floats(0.1, 1.0))
def test_threshold_reaches_the_wanted_recall_or_precision(seed: int, rows: int, digits: int, wanted: float) -> None:
    """Recall with as few alarms as possible; precision, where it can be reached, with as many hits as possible."""
    generator = np.random.default_rng(seed)
    truth = generator.random(rows) < 0.4
    truth[:FEWEST], truth[FEWEST : 2 * FEWEST] = True, False
    score = (truth * 0.3 + 0.7 * generator.random(rows)).round(digits)
    for by in ("recall", "precision"):
        setting = DecisionThreshold.model_validate({"by": by, "at_least": wanted})
        threshold = decide(setting, 2, truth, truth.astype(np.int64), score[:, None])
        assert isinstance(threshold, float)
        recall, precision, _ = rates_of(truth, score, threshold)
        others = [rates_of(truth, score, each) for each in np.linspace(-0.01, 1.01, 500)]
        if by == "recall":
            assert recall >= wanted
            assert precision >= max(each[1] for each in others if each[0] >= wanted and each[0] == recall) - 1e-9
        elif best := [each for each in others if each[1] >= wanted]:
            assert precision >= wanted
            assert recall >= max(each[0] for each in best)


def test_threshold_has_the_lowest_cost() -> None:
    """A miss that costs as much as nine alarms lowers the threshold; a high cost of alarms predicts no row at all."""
    generator = np.random.default_rng(0)
    score = generator.random(2000)
    truth = (generator.random(2000) < score).astype(np.int64)
    chosen = []
    for alarm, miss in ((1.0, 9.0), (1.0, 1.0), (9.0, 1.0)):
        setting = DecisionThreshold(by="cost", false_positive=alarm, false_negative=miss)
        chosen.append(decide(setting, 2, truth, truth, score[:, None]))
    assert chosen == pytest.approx([0.1, 0.5, 0.9], abs=0.08)  # of calibrated probabilities: alarm / (alarm + miss)
    never = DecisionThreshold(by="cost", false_positive=1.0, false_negative=0.0)
    threshold = decide(never, 2, truth, truth, score[:, None])
    assert isinstance(threshold, float)
    assert threshold > score.max()


def test_each_label_has_its_own_threshold() -> None:
    """Rare labels have a lower one; a label with too few validation rows keeps 0.5, and `value` applies to all."""
    generator = np.random.default_rng(1)
    outputs = generator.random((500, 3)) * [1.0, 0.3, 1.0]
    truth = generator.random((500, 3)) < outputs
    truth[:, 2] = False
    setting = DecisionThreshold(by="f1")
    thresholds = decide(setting, 0, truth, truth, outputs)
    assert isinstance(thresholds, list)
    assert thresholds[1] < 0.25 < thresholds[0]
    assert thresholds[2] == 0.5
    assert decide(DecisionThreshold(by="value", value=0.7), 0, truth, truth, outputs) == [0.7, 0.7, 0.7]
    assert decide(None, 0, truth, truth, outputs) is None
    (record, *_) = described(thresholds, ["a", "b", "c"], truth, outputs)
    recall, precision, _ = rates_of(truth[:, 0], outputs[:, 0], thresholds[0])
    assert (record["label"], record["recall"], record["precision"]) == ("a", recall, precision)


def test_thresholds_of_labels_decide_everywhere(tmp_path: Path) -> None:
    """In JSON, in tensors, in the metrics and in the report, also when read back."""
    problem = Multilabel("|").fitted_to({"separator": "|", "threshold": [0.2, 0.8]})
    outputs, truth = np.array([[0.3, 0.7], [0.1, 0.9]]), np.array([[True, False], [False, True]])
    assert [answer["labels"] for answer in problem.decode(outputs, ["a", "b"])] == [["a"], ["b"]]
    arrays = problem.decode_arrays(outputs, ["a", "b"])
    assert arrays is not None
    assert arrays[0].tolist() == [[True, False], [False, True]]
    evaluator, context = Several(), {"threshold": [0.2, 0.8]}
    assert evaluator.scores(truth, outputs, context)["subset_accuracy"] == 1
    assert evaluator.scores(truth, outputs, {})["subset_accuracy"] == 0.5
    Predictions(truth, outputs, outputs, np.arange(2), ["a", "b"], "kind", [0.2, 0.8]).save(tmp_path / "it.npz")
    again = Predictions.load(tmp_path / "it.npz", ["a", "b"], "kind")
    assert again.threshold == [0.2, 0.8]
    table = evaluator.details(again)["per_label"]
    assert [(record["threshold"], record["f1"], record["roc_auc"]) for record in table] == [(0.2, 1, 1), (0.8, 1, 1)]
    curve = next(figure for figure in evaluator.figures(again) if figure.title == "ROC")
    points = {line["name"]: (line["x"], line["y"]) for line in curve.data["lines"] if line.get("dots")}
    assert points == {"a from 0.2 on": ([0.0], [1.0]), "b from 0.8 on": ([0.0], [1.0])}


def test_rates_are_those_of_the_course_notes() -> None:
    """Of 12 positive and 40 negative rows: at .7, TPR 75 % and FPR 12.5 %; at .8, TPR 58.33 % and FPR 10 %."""
    scores = [0.9] * 7 + [0.75] * 2 + [0.3] * 3 + [0.95] * 4 + [0.72] + [0.1] * 35
    truth = np.array([1] * 12 + [0] * 40)
    outputs = np.stack([1 - np.array(scores), scores], axis=1)
    for threshold, recall, alarms in ((0.7, 0.75, 0.125), (0.8, 0.5833, 0.1)):
        rates = binary_metrics(matrix(truth, outputs, threshold))
        assert rates["recall (true positive rate)"] == pytest.approx(recall, abs=5e-5)
        assert rates["false positive rate"] == pytest.approx(alarms)
        curve = roc(truth == 1, outputs[:, 1])
        nearest = int(np.flatnonzero(curve.threshold >= threshold)[-1])
        assert (curve.true_positive[nearest], curve.false_positive[nearest]) == pytest.approx(
            (recall, alarms), abs=5e-5
        )
    predictions = Predictions(truth, outputs, outputs, np.arange(52), ["no", "yes"], "kind", 0.7)
    table = next(one for one in Classification().figures(predictions) if one.title == "Rates by threshold")
    rows = {row[0]: row for row in table.data["rows"]}
    assert rows[0.8][1:3] == [pytest.approx(7 / 12), pytest.approx(0.1)]
    assert (rows[0.7][-1], rows[0.8][-1]) == ("yes", "")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"by": "recall"}, "expected at_least for by: recall; received none"),
        ({"by": "f1", "at_least": 0.5}, "expected no further option for by: f1; received at_least"),
        ({"by": "cost", "false_positive": 1.0}, "expected false_positive and false_negative for by: cost"),
    ],
)
def test_options_must_be_those_of_the_criterion(setting: dict[str, Any], message: str) -> None:
    """A threshold without its target value, or with one that is not used, is refused."""
    with pytest.raises(ValueError, match=message):
        DecisionThreshold.model_validate(setting)


def test_threshold_is_refused_where_it_cannot_decide() -> None:
    """Three labels, of which a row has one, have no single threshold; the file of a task without one is unchanged."""
    task = loader.load(Workspace(ROOT), "iris")
    assert "threshold" not in task.model_dump()["train"]
    settings = {**task.model_dump(mode="json"), "train": {"epochs": 1, "threshold": {"by": "f1"}}}
    with pytest.raises(ValueError, match=r"train.threshold: expected for two labels.*it for 3 labels"):
        Task.model_validate(settings)
