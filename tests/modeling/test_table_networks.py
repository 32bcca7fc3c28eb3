"""Networks for tables: statistics of features, scaling, embeddings and members, compared with numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from model_families import build_model, model_settings
from workspaces import run_in_process

from tiltyard.modeling.models._tables import LIMIT, FeatureStatistics

TABM = {"family": "tabm", "members": 3, "units": [4], "dropout": 0.0}
FINITE = st.floats(-1e6, 1e6, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=FINITE))
@settings(max_examples=50, deadline=None)
def test_statistics_are_finite_for_all_features(rows: np.ndarray) -> None:
    """Whatever the values, scales and quantiles are finite, and each feature is a flag or a number."""
    statistics = FeatureStatistics.of(rows, 4)
    assert sorted(statistics.flags + statistics.numbers) == list(range(rows.shape[1]))
    assert np.isfinite(statistics.factor).all()
    assert np.isfinite(statistics.edges).all()
    assert (np.diff(statistics.edges, axis=1) >= 0).all()
    assert (np.abs(statistics.edges) <= LIMIT).all()


def test_statistics_separate_flags_from_numbers() -> None:
    """Features of one or two values are flags; numbers are scaled by median and interquartile range."""
    rows = np.stack([np.arange(5) % 2, np.arange(5) * 10, np.ones(5)], axis=1).astype(np.float32)
    statistics = FeatureStatistics.of(rows, 4)
    assert (statistics.flags, statistics.numbers) == ([0, 2], [1])
    assert statistics.median.tolist() == [20]
    assert statistics.factor.tolist() == [1 / 20]


def test_mostly_equal_numbers_are_scaled_by_their_range() -> None:
    """If the interquartile range is 0, half the range is the scale, as for amounts that are usually 0."""
    rows = np.array([[0], [0], [0], [0], [0], [0], [0], [3], [8]], dtype=np.float32)
    assert FeatureStatistics.of(rows, 4).factor.tolist() == [1 / 4]


def _ramps() -> Any:
    """Return the ramps of some numbers between edges, of which two are equal."""
    import keras

    from tiltyard.modeling.models._tables import _ramps

    edges = np.array([[0.0, 1.0, 1.0, 3.0]])
    return keras.ops.convert_to_numpy(
        _ramps(np.array([[[-1.0]], [[0.5]], [[2.0]], [[9.0]]], np.float32), edges)
    ).tolist()


@pytest.mark.slow
def test_pieces_are_filled_from_left_to_right() -> None:
    """Each piece holds the share of it that lies below the number; an empty piece holds 0."""
    assert run_in_process(_ramps) == [[[0, 0, 0]], [[0.5, 0, 0]], [[1, 0, 0.5]], [[1, 0, 1]]]


def _member_losses() -> dict[str, Any]:
    """Return losses in training and in validation, and what they should be."""
    import keras

    from tiltyard.config.train_section import Train
    from tiltyard.training.network import build_trainer

    body = build_model(TABM, (6,), 3, "softmax")
    trainer = build_trainer(Train.model_validate({"epochs": 1}), body)
    trainer.compile("sgd", "sparse_categorical_crossentropy", weighted_metrics=[], metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, truth, weight = rng.random((8, 6), np.float32), rng.integers(0, 3, 8), rng.random(8).astype(np.float32)
    members = keras.ops.convert_to_numpy(trainer(x))
    right = members[np.arange(8), :, truth]
    return {
        "shape": members.shape,
        "mean": float(np.abs(members.mean(axis=1) - keras.ops.convert_to_numpy(body(x))).max()),
        "train": float(trainer.compute_loss(x, truth, trainer(x), weight, training=True)),
        "expected_train": float((-np.log(right) * weight[:, None]).mean()),
        "test": float(trainer.compute_loss(x, truth, trainer(x), None, training=False)),
        "expected_test": float(-np.log(right.mean(axis=1)).mean()),
    }


@pytest.mark.slow
def test_members_learn_from_their_own_losses() -> None:
    """Training has the mean of the members' losses, weighted by row; validation has the loss of their mean."""
    result = run_in_process(_member_losses)
    assert result["shape"] == (8, 3, 3)
    assert result["mean"] < 1e-6
    assert result["train"] == pytest.approx(result["expected_train"], rel=1e-5)
    assert result["test"] == pytest.approx(result["expected_test"], rel=1e-5)
    assert result["train"] != pytest.approx(result["test"], rel=1e-3)


def test_a_network_for_tables_needs_statistics() -> None:
    """Without `adapt`, building says what to call."""
    with pytest.raises(ValueError, match="call adapt before build"):
        model_settings(TABM).build(None)
