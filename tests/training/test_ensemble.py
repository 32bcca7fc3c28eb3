"""Ensembles: shares that favour the better members, and how alike their errors are."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.training import ensemble


def _numbers() -> tuple[Array, Array]:
    """Make three members: two good ones with errors of their own, one that guesses."""
    chance = np.random.default_rng(0)
    truth = chance.normal(size=400).astype(np.float32)
    outputs = [truth + 0.3 * chance.normal(size=400), truth + 0.3 * chance.normal(size=400), chance.normal(size=400)]
    return np.array(outputs, dtype=np.float32)[..., None], truth


def _labels() -> tuple[Array, Array]:
    """Make two members that give the label's probability, one that gives another's."""
    truth = np.random.default_rng(0).integers(0, 3, 300)
    good, bad = np.full((300, 3), 0.1), np.full((300, 3), 0.1)
    good[np.arange(300), truth] = bad[np.arange(300), (truth + 1) % 3] = 0.8
    return np.array([good, good, bad]), truth


@pytest.mark.parametrize("made", [_numbers(), _labels()], ids=["numbers", "labels"])
def test_weights_favour_the_better_members(made: tuple[Array, Array]) -> None:
    """A member that guesses gets next to no share, the good ones the same; a mean asks nobody."""
    shares = ensemble.learn_shares(*made, "weighted")
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert shares[2] < 0.03
    assert shares[0] == pytest.approx(0.5, abs=0.1)
    assert ensemble.learn_shares(*made, "mean") == pytest.approx([1 / 3] * 3, abs=1e-5)


def test_one_sigmoid_is_the_probability_of_the_second_label() -> None:
    """Where the answer is 1, a high output is good; where it is 0, a low one."""
    truth = np.array([0, 1] * 100)
    good, bad = np.where(truth, 0.9, 0.1), np.where(truth, 0.1, 0.9)
    assert ensemble.learn_shares(np.array([good, bad])[..., None], truth, "weighted")[0] > 0.95


def test_members_that_err_alike_are_told_from_those_that_do_not() -> None:
    """Errors drawn apart hardly correlate; the same member twice does so wholly."""
    outputs, truth = _numbers()
    found = ensemble.correlation(outputs[:2], truth)
    assert abs(found["mean"]) < 0.2
    assert found["table"][0][0] == 1
    assert ensemble.correlation(outputs[[0, 0]], truth)["mean"] == pytest.approx(1)
