"""Metrics of samples as an evaluator has them: means of columns, and a distance whose resampling bias is subtracted."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.evaluators.sampling import NEIGHBOURS, Sampling
from tiltyard.modeling.metrics.bootstrap import Bootstrap

ROWS, WIDTH = 150, 16


def _outputs(shift: float, *columns: Array) -> Array:
    """Return outputs with random features of samples and rows, and a score."""
    generator = np.random.default_rng(0)
    samples, rows = generator.standard_normal((ROWS, WIDTH)) + shift, generator.standard_normal((ROWS, WIDTH))
    near = np.tile(np.arange(ROWS)[:, None] % 2, (1, len(NEIGHBOURS)))
    return np.concatenate([near, *columns, samples, rows, np.zeros((ROWS, 1))], axis=1)


def test_a_resampled_distance_is_not_larger_on_average() -> None:
    """Without the correction each resample would be farther away, and the interval would not hold the value."""
    evaluator, outputs, truth = Sampling(), _outputs(0.0), np.zeros(ROWS)
    value = evaluator.scores(truth, outputs, {})["frechet"]
    resampled = evaluator.scores_of_rows(truth, outputs, {})
    generator = np.random.default_rng(1)
    places = [generator.integers(0, ROWS, ROWS) for _ in range(100)]
    plain = [evaluator.metrics["frechet"].score(truth[drawn], outputs[drawn], {}) for drawn in places]
    assert np.min(plain) > value
    corrected = [resampled(drawn)["frechet"] for drawn in places]
    assert np.mean(corrected) == pytest.approx(value, rel=0.1)
    low, high = Bootstrap(ROWS, 0, 0.95).intervals(resampled)["frechet"]
    assert low < value < high


def test_shares_are_means_of_columns() -> None:
    """Half of the samples are near, and two thirds are of their class, if the model is conditional."""
    agreed = (np.arange(ROWS) % 3 > 0).astype(float)[:, None]
    outputs, truth = _outputs(0.0, agreed), np.zeros(ROWS)
    conditional = Sampling().with_measures((), conditional=True)
    scores = conditional.scores(truth, outputs, {})
    assert {name: scores[name] for name in NEIGHBOURS} == dict.fromkeys(NEIGHBOURS, 0.5)
    assert scores["agreement"] == pytest.approx(2 / 3)
    assert "agreement" not in Sampling().metrics
    shifted = conditional.scores(truth, _outputs(1.0, agreed), {})
    assert shifted["frechet"] - scores["frechet"] == pytest.approx(WIDTH, rel=0.3)
