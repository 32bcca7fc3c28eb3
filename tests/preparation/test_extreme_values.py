"""Extreme numbers (zero, subnormal, nearly overflowing): every division gives finite numbers."""

from __future__ import annotations

import math
import re

import duels
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tiltyard import figures
from tiltyard.arrays import Array
from tiltyard.cli.output import explanations
from tiltyard.config.draft import column_profile, leakage, time_series, training_plan
from tiltyard.data import diff
from tiltyard.errors import DataError
from tiltyard.explain.math import heatmap, linear_surrogate
from tiltyard.gate import perturbation
from tiltyard.modeling.columns import base
from tiltyard.modeling.columns.number import LARGEST, Number
from tiltyard.modeling.evaluators.forecasting import Forecasting
from tiltyard.modeling.inference import drift_reference
from tiltyard.modeling.metrics import bootstrap, curves, drift_distance, scores
from tiltyard.preparation.modalities import base as modality
from tiltyard.report import html_elements as page
from tiltyard.validation.findings import near_duplicates, outliers

TINY, HUGE = 5e-324, 1.7976931348623157e308
FINITE = st.floats(allow_nan=False, allow_infinity=False)
FLOAT32 = st.floats(-LARGEST, LARGEST)  # values that a column accepts
SAMPLES: dict[str, list[float]] = {
    "constant": [3.0] * 30,
    "zero": [0.0] * 30,
    "subnormal": [0.0, TINY, 2.3e-313] * 10,
    "nearly equal": [1.0, math.nextafter(1.0, 2.0)] * 15,
    "squares vanish": [0.0, 1e-170] * 15,
    "squares overflow": [-1e200, 1e200, 3.0] * 10,
    "as wide as can be": [-HUGE, HUGE, 0.0] * 10,
    "as large as can be": [HUGE] * 30,
}
WITHIN_FLOAT32 = [name for name in SAMPLES if max(map(abs, SAMPLES[name])) <= LARGEST]


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Array:
    """Numbers as they may occur in a file."""
    return np.array(SAMPLES[request.param])


@pytest.fixture(params=WITHIN_FLOAT32)
def parsed(request: pytest.FixtureRequest) -> Array:
    """Numbers that a column accepts."""
    return np.array(SAMPLES[request.param])


@given(FINITE, FINITE, st.booleans())
@example(2.2e-313, 2.2e-313 + TINY, False)
@example(TINY, TINY, False)
@example(-TINY, TINY, True)
@example(HUGE, HUGE, False)
@example(-HUGE, -HUGE, False)
@example(-HUGE, HUGE, True)
@example(1.6e308, HUGE, False)
@example(0.0, HUGE, False)
def test_bounds_include_any_finite_range(first_value: float, second_value: float, whole: bool) -> None:
    """Bounds are finite, include both ends, and the lower bound is below the upper one, as a column requires."""
    low, high = sorted((first_value, second_value))
    first, last = column_profile.bounds(low, high, integers=whole)
    assert math.isfinite(first)
    assert math.isfinite(last)
    assert first <= low
    assert high <= last
    assert first < last


def test_bounds_can_be_drafted_for_extreme_numbers(sample: Array) -> None:
    """The column accepts the drafted bounds."""
    drafted = column_profile.profile_column("size", sample.tolist()).column
    if drafted["type"] == "number":
        assert Number(**drafted).bounds is not None


@given(st.lists(FLOAT32, min_size=1, max_size=20))
@example([0.0, TINY])
@example([-LARGEST, LARGEST])
@example([1e-30, 1.1e-30])
def test_scaling_is_finite_and_can_be_undone(values: list[float]) -> None:
    """Training divides by the deviation, in float32: neither it nor its inverse may vanish or overflow."""
    mean, std = base.scale(np.array(values))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        inverse = np.float32(1) / np.float32(std)
        shift = np.float32(-mean) / np.float32(std)
    assert all(map(math.isfinite, (mean, std, float(inverse), float(shift))))
    assert std > 0


def test_errors_of_extreme_numbers_are_finite(parsed: Array) -> None:
    """Metrics are finite, and a perfect prediction has a perfect score in any unit."""
    shifted = np.roll(parsed, 1)
    for truth, value in ((parsed, shifted), (parsed, parsed), (parsed, np.zeros(len(parsed)))):
        for score in (scores.mae, scores.rmse, scores.r2):
            assert math.isfinite(score(truth, value)), score.__name__
    assert scores.r2(parsed, parsed) == 1
    assert scores.rmse(parsed, parsed) == 0


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1e-30, 1e30])
def test_r2_does_not_depend_on_the_unit(unit: float) -> None:
    """R2 does not depend on the unit, and RMSE is proportional to it."""
    truth, value = np.array([1.0, 2.0, 4.0, 7.0]), np.array([1.5, 2.0, 3.0, 7.5])
    assert scores.r2(truth * unit, value * unit) == pytest.approx(scores.r2(truth, value), rel=1e-9)
    assert scores.rmse(truth * unit, value * unit) == pytest.approx(scores.rmse(truth, value) * unit, rel=1e-9)


def test_drift_between_extreme_samples_is_finite(sample: Array) -> None:
    """A sample has no distance from itself and a finite distance from others."""
    for other in (sample, -sample, np.zeros(30)):
        for apart in drift_distance.drift_distances(sample, other):
            assert math.isfinite(apart.value)
            assert 0 <= apart.chance <= 1
    assert {apart.value for apart in drift_distance.drift_distances(sample, sample)} == {0.0}


def test_reference_of_extreme_numbers_counts_every_row(parsed: Array) -> None:
    """The bin edges are finite, and every row falls into a bin."""
    spread = drift_reference._spread(parsed)
    assert np.isfinite(spread["edges"]).all()
    assert sum(spread["counts"]) == len(parsed)
    assert drift_reference.distance(spread, parsed).value == 0


def test_histogram_of_extreme_numbers_counts_every_row(sample: Array) -> None:
    """Every row is counted, however narrow or wide the range is."""
    drawn = figures.histogram("Errors", "", {"errors": sample})
    (line,) = drawn.data["lines"]
    assert None not in line["x"]
    assert sum(line["y"]) == 2 * len(sample)


def test_sparklines_of_extreme_numbers_stay_inside_the_plot(sample: Array) -> None:
    """All points lie inside the plot."""
    for lower in (False, True):
        html = page.sparkline(sample.tolist(), lower=lower).html
        assert "nan" not in html
        assert "inf" not in html
        heights = [float(pair.split(",")[1]) for pair in re.findall(r'points="([^"]*)"', html)[0].split()]
        assert all(0 <= height <= 28 for height in heights)


def test_heatmaps_of_extreme_numbers_have_valid_colours(sample: Array) -> None:
    """Colours are finite and between 0 and 255."""
    picture = sample.reshape(5, 6)
    for drawn in (
        heatmap.to_colours(np.abs(picture)),
        heatmap.signed_overlay(np.full((*picture.shape, 1), 9.0), picture),
    ):
        assert np.isfinite(drawn).all()
        assert drawn.min() >= 0
        assert drawn.max() <= 255
    assert np.isfinite(heatmap.diverging(picture)).all()


def test_bars_of_extreme_numbers_are_drawn(sample: Array, capsys: pytest.CaptureFixture[str]) -> None:
    """Bars are drawn in a terminal, and words are shaded in the report."""
    explanations._print_bars([{"name": str(index), "value": value} for index, value in enumerate(sample.tolist())])
    assert capsys.readouterr().out
    figure = figures.word_figure("Words", "", [("word", value) for value in sample.tolist()])
    assert "nan" not in page._render_words(figure.data)


def test_outlier_and_leakage_checks_accept_extreme_numbers(sample: Array) -> None:
    """Outliers, near duplicates and leakage are computed without NaN or infinity."""
    assert set(outliers._far(sample, log=False).tolist()) <= set(range(len(sample)))
    assert np.isfinite(near_duplicates._rounded(sample, 0.5)).all()
    assert 0 <= leakage.leakage_score([*sample] * 2, [*sample, *sample[::-1]], labels=False) <= 1


def test_noise_on_extreme_numbers_stays_in_bounds(parsed: Array) -> None:
    """Values with added noise are clipped to what the column accepts."""
    shifted = perturbation.add_noise({"size": parsed}, {"size": Number()}, 0.1, np.random.default_rng(0))
    assert shifted is not None
    assert np.isfinite(shifted["size"]).all()


def test_linear_surrogate_of_extreme_outputs_has_r2_of_at_most_one(parsed: Array) -> None:
    """The slopes are finite, and R2 is at most 1."""
    changes = np.random.default_rng(0).standard_normal((30, 2))
    found = linear_surrogate.fit(changes, np.clip(parsed, -1e150, 1e150), np.ones(30))
    assert np.isfinite(found.slopes).all()
    assert found.r2 <= 1


def test_minimum_gain_is_drafted_for_extreme_targets(sample: Array) -> None:
    """The minimum gain, a hundredth of the standard deviation, is finite and not negative."""
    gain = training_plan.gate(sample.tolist(), "regression", {})["minimum_gain"]
    assert math.isfinite(gain)
    assert gain >= 0


def test_sections_are_drafted_for_extreme_series(sample: Array) -> None:
    """Trend and season are distinguished without a division by zero."""
    line = time_series.Timeline("day", None, None, equal=True, season=4)
    rows = pd.DataFrame({"day": range(len(sample)), "size": sample})
    drafted = time_series.sections(line, rows, [column_profile.profile_column("size", sample.tolist())])
    assert drafted["target"]["column"] == "size"


def test_versions_of_extreme_data_are_compared(sample: Array) -> None:
    """The comparison contains no NaN and no infinity."""
    old, new = pd.DataFrame({"size": sample}), pd.DataFrame({"size": np.zeros(len(sample))})
    found = diff.compare("any", ("old", "new"), (old, new))
    assert not any(re.search(r"\b(nan|inf)\b", f"{line['old']} {line['new']}") for line in found.spread)


def test_roc_and_bootstrap_accept_nearly_equal_scores(parsed: Array) -> None:
    """Equal or nearly equal scores give a valid area and finite intervals."""
    inside = np.arange(len(parsed)) % 2 == 0
    assert 0 <= curves.roc(inside, parsed).area <= 1
    ends = bootstrap.Bootstrap(30, 0, 0.95)._ends(parsed)
    assert all(map(math.isfinite, ends))


@pytest.mark.parametrize("value", [1e39, -HUGE])
def test_target_beyond_float32_is_refused(value: float) -> None:
    """Networks predict in float32: the error names the largest value, the received value and its row."""
    task = duels.duel_task(duels.diabetes())
    for cells in (pd.Series([1.0, value]), pd.Series([1.0, value], dtype=object)):
        with pytest.raises(DataError, match=r"at most 3\.4\S+, either sign, in every row; row 1 holds -?\d"):
            modality.parse_target_column(task, cells)


def test_mase_is_finite_for_a_nearly_constant_series() -> None:
    """MASE, the error divided by that of the naive forecast, is finite for any training rows."""
    task = Forecasting()
    context = task.context(np.array([0.0, TINY, 0.0, TINY]))
    score = task.metrics["mase"].score(np.array([[1e30]]), np.array([[0.0]]), context)
    assert math.isfinite(score)
