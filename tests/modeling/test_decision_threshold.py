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
from tiltyard.modeling.inference.decision_threshold import FEWEST, choose, rare_label
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import labels
from tiltyard.training import network, train
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
    threshold = train._with_threshold(fraud_task(), parts, model).problem.threshold
    assert threshold is not None
    assert 0.07 < threshold < 0.2
    assert set(vars(parts)) == {"encoder", "train", "validation"}
    often: Any = SimpleNamespace(encoder=fraud_task().encoder(), train=rows_with(truth, truth % 2), validation=None)
    often.train = (often.train[0], np.arange(1000) % 2)
    assert train._with_threshold(fraud_task(), often, model) is often.encoder


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
