"""Bootstrap intervals have the width of the theory, are reproducible, and are narrower when paired."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators.classification import Classification
from tiltyard.modeling.evaluators.regression import Regression
from tiltyard.modeling.metrics.bootstrap import Bootstrap

ACCURACY = Classification.metrics["accuracy"]
RMSE = Regression.metrics["rmse"]


def score_against(truth: Array) -> Callable[[Array, Array], float]:
    """Return a function that scores outputs at indices against this truth."""
    return lambda outputs, indices: RMSE.score(truth[indices], outputs[indices], {})


def test_interval_of_a_mean_matches_theory() -> None:
    """It is 1.96 standard errors in both directions, within a tenth."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = Bootstrap(400, 0, 0.95).intervals(lambda indices: {"mean": values[indices].mean()})["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_higher_confidence_gives_a_wider_interval() -> None:
    """The interval at 99 % contains the one at 80 %."""
    values = np.random.default_rng(1).normal(size=100)
    narrow, wide = (Bootstrap(100, 0, c).intervals(lambda p: {"m": values[p].mean()})["m"] for c in (0.8, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_interval_is_reproducible() -> None:
    """The same seed gives the same interval, another seed another one."""
    values = np.arange(50.0)
    first, second, other = (Bootstrap(50, s, 0.9).intervals(lambda p: {"m": values[p].mean()}) for s in (3, 3, 4))
    assert first == second != other


def test_gain_of_the_same_model_is_zero() -> None:
    """Gain and interval are zero, which proves nothing."""
    truth, outputs = np.arange(20.0), np.zeros((20, 1))
    gain = Bootstrap(20, 0, 0.95).gain(RMSE, score_against(truth), outputs, outputs)
    assert (gain.value, gain.low, gain.high, gain.proven) == (0, 0, 0, False)


def test_paired_interval_proves_a_small_gain() -> None:
    """A small but constant gain is significant on the same rows, although the separate intervals overlap."""
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 10, 200)
    error = generator.normal(0, 5, 200)
    new, old = (truth + error)[:, None], (truth + 1.1 * error)[:, None]
    bootstrap = Bootstrap(200, 0, 0.95)
    gain = bootstrap.gain(RMSE, score_against(truth), new, old)
    own_interval = bootstrap.intervals(lambda indices: {"rmse": RMSE.score(truth[indices], new[indices], {})})["rmse"]
    assert gain.proven
    assert own_interval[0] < gain.old < own_interval[1]


def test_worse_model_has_a_negative_gain() -> None:
    """Twice the error is a negative gain, with an interval below zero."""
    truth, generator = np.zeros(100), np.random.default_rng(0)
    old = generator.normal(size=(100, 1))
    gain = Bootstrap(100, 0, 0.95).gain(RMSE, score_against(truth), 2 * old, old)
    assert gain.high < 0
    assert gain.value == pytest.approx(gain.old - gain.new)


def test_gain_interval_uses_the_wider_of_quantiles_and_normal_ends() -> None:
    """For right-skewed gains the normal interval is lower, and the quantile is higher."""
    gains = np.random.default_rng(0).exponential(size=12)
    bootstrap, means = Bootstrap(12, 0, 0.95), []

    def mean(indices: Array) -> dict[str, float]:
        means.append(float(gains[indices].mean()))
        return {"mean": means[-1]}

    quantiles = bootstrap.intervals(mean)["mean"]
    normal_interval = np.mean(means) + 1.96 * np.std(means) * np.array([-1, 1])
    gain = bootstrap.gain(ACCURACY, lambda outputs, indices: float(outputs[indices].mean()), gains, np.zeros(12))
    assert normal_interval[0] < quantiles[0]
    assert normal_interval[1] < quantiles[1]
    assert gain.low == pytest.approx(normal_interval[0], abs=1e-4)
    assert gain.high == quantiles[1]


@pytest.mark.parametrize(("confidence", "uses_quantiles"), [(0.979, True), (0.981, False)])
def test_quantiles_are_used_if_ten_resamples_lie_beyond(confidence: float, uses_quantiles: bool) -> None:
    """Of a thousand, 10.5 lie beyond an end at 97.9 %, and 9.5 at 98.1 %, where the normal interval is used."""
    values = np.random.default_rng(0).exponential(size=12)
    means = []

    def mean(indices: Array) -> dict[str, float]:
        means.append(float(values[indices].mean()))
        return {"mean": means[-1]}

    found = Bootstrap(12, 0, confidence).intervals(mean)["mean"]
    tail = (1 - confidence) / 2
    half_width = NormalDist().inv_cdf(1 - tail) * np.std(means)
    normal_interval = (np.mean(means) - half_width, np.mean(means) + half_width)
    assert len(means) == 1000
    assert found == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])) if uses_quantiles else normal_interval)


def test_resamples_without_a_class_are_finite() -> None:
    """The one row of the rare class is absent from a third of the resamples."""
    truth = np.array([0] * 9 + [1])
    outputs = np.random.default_rng(0).dirichlet([1, 1, 1], 10)
    scores = Classification().scores
    found = Bootstrap(10, 0, 0.95).intervals(lambda indices: scores(truth[indices], outputs[indices], {}))
    assert np.isfinite([list(interval) for interval in found.values()]).all()


def test_bootstrap_of_2000_rows_is_fast() -> None:
    """Ten classes, all metrics and a thousand resamples take a few seconds at most."""
    generator = np.random.default_rng(0)
    truth, outputs = generator.integers(0, 10, 2000), generator.dirichlet(np.ones(10), 2000).astype(np.float32)
    started = time.process_time()
    Bootstrap(2000, 0, 0.95).intervals(Classification().scores_of_rows(truth, outputs, {}))
    assert time.process_time() - started < 3


def test_subsampling_keeps_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer rows per resample the interval has the width for all rows, and is centred on their mean."""
    values = np.random.default_rng(1).normal(5, 2, 4000)
    monkeypatch.setattr("tiltyard.modeling.metrics.bootstrap.DRAWN", 400)
    sizes = set()

    def mean(indices: Array) -> dict[str, float]:
        sizes.add(len(indices))
        return {"mean": float(values[indices].mean())}

    low, high = Bootstrap(4000, 0, 0.95).intervals(mean)["mean"]
    assert sizes == {400, 4000}
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)
