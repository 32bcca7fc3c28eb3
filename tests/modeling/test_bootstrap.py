"""Bootstrap intervals are as wide as theory says, repeatable, and sharper when paired."""

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
    """Return the score of outputs at places against this truth."""
    return lambda outputs, places: RMSE.score(truth[places], outputs[places], {})


def test_the_interval_of_a_mean_is_what_theory_says() -> None:
    """For a mean it is 1.96 standard errors either way, within a tenth."""
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = Bootstrap(400, 0, 0.95).intervals(lambda places: {"mean": values[places].mean()})["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert low < values.mean() < high


def test_more_confidence_is_a_wider_interval() -> None:
    """Who wants to be surer must allow for more."""
    values = np.random.default_rng(1).normal(size=100)
    narrow, wide = (Bootstrap(100, 0, c).intervals(lambda p: {"m": values[p].mean()})["m"] for c in (0.8, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_one_seed_gives_one_interval() -> None:
    """A report must not change when nothing did."""
    values = np.arange(50.0)
    first, second, other = (Bootstrap(50, s, 0.9).intervals(lambda p: {"m": values[p].mean()}) for s in (3, 3, 4))
    assert first == second != other


def test_the_same_model_gains_nothing() -> None:
    """Against itself the gain and its interval are zero, which proves nothing."""
    truth, outputs = np.arange(20.0), np.zeros((20, 1))
    gain = Bootstrap(20, 0, 0.95).gain(RMSE, score_against(truth), outputs, outputs)
    assert (gain.value, gain.low, gain.high, gain.proven) == (0, 0, 0, False)


def test_pairing_proves_what_two_intervals_cannot() -> None:
    """A small but steady gain stands out on the same rows, though each model's own interval holds the other's score."""
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 10, 200)
    error = generator.normal(0, 5, 200)
    new, old = (truth + error)[:, None], (truth + 1.1 * error)[:, None]
    bootstrap = Bootstrap(200, 0, 0.95)
    gain = bootstrap.gain(RMSE, score_against(truth), new, old)
    alone = bootstrap.intervals(lambda places: {"rmse": RMSE.score(truth[places], new[places], {})})["rmse"]
    assert gain.proven
    assert alone[0] < gain.old < alone[1]


def test_a_worse_model_has_a_negative_gain() -> None:
    """Lower is better for an error: twice the error is a loss, all of the interval below zero."""
    truth, generator = np.zeros(100), np.random.default_rng(0)
    old = generator.normal(size=(100, 1))
    gain = Bootstrap(100, 0, 0.95).gain(RMSE, score_against(truth), 2 * old, old)
    assert gain.high < 0
    assert gain.value == pytest.approx(gain.old - gain.new)


def test_a_gain_has_the_wider_of_quantiles_and_curve_at_each_end() -> None:
    """Of gains that are skewed to the right the curve reaches further down, and the quantiles further up."""
    gains = np.random.default_rng(0).exponential(size=12)
    bootstrap, means = Bootstrap(12, 0, 0.95), []

    def mean(places: Array) -> dict[str, float]:
        means.append(float(gains[places].mean()))
        return {"mean": means[-1]}

    quantiles = bootstrap.intervals(mean)["mean"]
    curve = np.mean(means) + 1.96 * np.std(means) * np.array([-1, 1])
    gain = bootstrap.gain(ACCURACY, lambda outputs, places: float(outputs[places].mean()), gains, np.zeros(12))
    assert curve[0] < quantiles[0]
    assert curve[1] < quantiles[1]
    assert gain.low == pytest.approx(curve[0], abs=1e-4)
    assert gain.high == quantiles[1]


@pytest.mark.parametrize(("confidence", "quantiles"), [(0.979, True), (0.981, False)])
def test_ends_are_read_off_where_ten_resamples_lie_beyond(confidence: float, quantiles: bool) -> None:
    """Of a thousand 10.5 lie beyond an end at 97.9 %, 9.5 at 98.1 %: there it is that of the normal curve."""
    values = np.random.default_rng(0).exponential(size=12)
    means = []

    def mean(places: Array) -> dict[str, float]:
        means.append(float(values[places].mean()))
        return {"mean": means[-1]}

    found = Bootstrap(12, 0, confidence).intervals(mean)["mean"]
    tail = (1 - confidence) / 2
    wide = NormalDist().inv_cdf(1 - tail) * np.std(means)
    curve = (np.mean(means) - wide, np.mean(means) + wide)
    assert len(means) == 1000
    assert found == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])) if quantiles else curve)


def test_resamples_without_a_class_stay_finite() -> None:
    """One row of the rare class is absent from a third of the resamples."""
    truth = np.array([0] * 9 + [1])
    outputs = np.random.default_rng(0).dirichlet([1, 1, 1], 10)
    scores = Classification().scores
    found = Bootstrap(10, 0, 0.95).intervals(lambda places: scores(truth[places], outputs[places], {}))
    assert np.isfinite([list(interval) for interval in found.values()]).all()


def test_two_thousand_rows_take_little_time() -> None:
    """Ten classes, five metrics, a thousand resamples: a few seconds at most, on a busy machine."""
    generator = np.random.default_rng(0)
    truth, outputs = generator.integers(0, 10, 2000), generator.dirichlet(np.ones(10), 2000).astype(np.float32)
    scores = Classification().scores
    began = time.process_time()
    Bootstrap(2000, 0, 0.95).intervals(lambda places: scores(truth[places], outputs[places], {}))
    assert time.process_time() - began < 3


def test_of_many_rows_fewer_are_drawn_and_the_interval_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the width that theory gives all rows, and lies around the figure of all of them."""
    values = np.random.default_rng(1).normal(5, 2, 4000)
    monkeypatch.setattr("tiltyard.modeling.metrics.bootstrap.DRAWN", 400)
    sizes = set()

    def mean(places: Array) -> dict[str, float]:
        sizes.add(len(places))
        return {"mean": float(values[places].mean())}

    low, high = Bootstrap(4000, 0, 0.95).intervals(mean)["mean"]
    assert sizes == {400, 4000}
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.1)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.01)
