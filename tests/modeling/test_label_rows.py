"""Metrics on resamples of labels: equal, bit by bit, to the metrics of the drawn rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators import classification
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.evaluators.classification import Classification
from tiltyard.modeling.metrics.label_rows import most_probable


def drawn_case(seed: int, rows: int, classes: int, digits: int, kind: str) -> tuple[Array, Array, Array]:
    """Return a truth, outputs as a network gives them, with more ties for fewer digits, and drawn rows."""
    rng = np.random.default_rng(seed)
    if classes == 1:
        outputs = rng.random((rows, 1)).round(digits)
    else:
        shares = rng.random((rows, classes)).round(digits) + 1e-3
        outputs = shares / shares.sum(axis=1, keepdims=True)
    truth = rng.integers(0, max(classes, 2), rows).astype(kind)
    return truth, outputs.astype(np.float32), rng.integers(0, rows, rng.integers(1, 2 * rows + 1))


def assert_same(truth: Array, outputs: Array, places: Array) -> None:
    """Compare the fast way with the definitions."""
    fast = Classification().scores_of_rows(truth, outputs, {})(places)
    assert fast == Classification().scores(truth[places], outputs[places], {})
    assert [*fast] == [*Classification.metrics]


@given(
    st.integers(0, 2**32),
    st.integers(1, 60),
    st.sampled_from([1, 2, 3, 9, 17]),
    st.integers(0, 7),
    st.sampled_from("lf"),
)
def test_scores_of_drawn_rows_are_those_of_the_metrics(
    seed: int, rows: int, classes: int, digits: int, kind: str
) -> None:
    """With ties, classes without rows, and one row drawn several times or never."""
    assert_same(*drawn_case(seed, rows, classes, digits, kind))


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([1, 2]), st.floats(0, 1))
def test_labels_of_a_decision_threshold_are_the_same(seed: int, rows: int, classes: int, threshold: float) -> None:
    """Metrics of labels use the threshold of the context, the others do not."""
    truth, outputs, places = drawn_case(seed, rows, classes, 2, "l")
    context = {"threshold": threshold, "rare": 1.0}
    found = Classification().scores_of_rows(truth, outputs, context)(places)
    assert found == Classification().scores(truth[places], outputs[places], context)
    predicted = (outputs[places][:, -1].astype(np.float64) >= threshold).astype(int)
    assert found["accuracy"] == pytest.approx((predicted == truth[places]).mean())
    assert found["log_loss"] == Classification().scores(truth[places], outputs[places], {})["log_loss"]


@pytest.mark.parametrize("classes", [1, 2, 10])
@pytest.mark.parametrize("digits", [2, 7])
def test_the_same_holds_for_many_rows(classes: int, digits: int) -> None:
    """Sums of many numbers depend on their order."""
    assert_same(*drawn_case(7, 90_000, classes, digits, "l"))


def test_too_many_probabilities_are_measured_by_the_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks of each probability would need too much memory."""
    truth, outputs, places = drawn_case(1, 50, 3, 2, "l")
    monkeypatch.setattr(classification, "MAX_PREPARED", 149)
    found = Classification().scores_of_rows(truth, outputs, {})
    assert found.__qualname__.startswith(Evaluator.scores_of_rows.__qualname__)
    assert found(places) == Classification().scores(truth[places], outputs[places], {})


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 2))
def test_the_most_probable_label_is_the_first_one(seed: int, classes: int, digits: int) -> None:
    """As by NumPy's argmax, also among equal probabilities."""
    shares = np.random.default_rng(seed).random((30, classes)).round(digits)
    assert most_probable(shares).tolist() == shares.argmax(axis=1).tolist()
