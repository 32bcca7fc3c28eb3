"""Ensembles: shares that favour better members, and the correlation of their errors."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.training import ensemble


def _number_members() -> tuple[Array, Array]:
    """Return outputs of three members, two good ones with independent errors and one that guesses, and the truth."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400).astype(np.float32)
    outputs = [truth + 0.3 * rng.normal(size=400), truth + 0.3 * rng.normal(size=400), rng.normal(size=400)]
    return np.array(outputs, dtype=np.float32)[..., None], truth


def _label_members() -> tuple[Array, Array]:
    """Return outputs of two members that predict the label, and of one that predicts another, and the truth."""
    truth = np.random.default_rng(0).integers(0, 3, 300)
    good, bad = np.full((300, 3), 0.1), np.full((300, 3), 0.1)
    good[np.arange(300), truth] = bad[np.arange(300), (truth + 1) % 3] = 0.8
    return np.array([good, good, bad]), truth


@pytest.mark.parametrize("members", [_number_members(), _label_members()], ids=["numbers", "labels"])
def test_learned_shares_favour_better_members(members: tuple[Array, Array]) -> None:
    """A guessing member gets almost no share, and the good ones get equal shares; a mean uses fixed shares."""
    shares = ensemble.learn_shares(*members, "weighted")
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares[2] < 0.03
    assert shares[0] == pytest.approx(0.5, abs=0.1)
    assert ensemble.learn_shares(*members, "mean") == pytest.approx([1 / 3] * 3, abs=1e-5)


def test_single_sigmoid_output_is_the_probability_of_the_second_label() -> None:
    """For label 1 a high output is good, and for label 0 a low one."""
    truth = np.array([0, 1] * 100)
    good, bad = np.where(truth, 0.9, 0.1), np.where(truth, 0.1, 0.9)
    assert ensemble.learn_shares(np.array([good, bad])[..., None], truth, "weighted")[0] > 0.95


def test_error_correlation_detects_similar_members() -> None:
    """Independent errors hardly correlate, and those of identical members correlate fully."""
    outputs, truth = _number_members()
    found = ensemble.correlation(outputs[:2], truth)
    assert abs(found["mean"]) < 0.2
    assert found["table"][0][0] == 1
    assert ensemble.correlation(outputs[[0, 0]], truth)["mean"] == pytest.approx(1)
