"""Compare two variants over several seeds: the mean of paired gains with Student's interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float]
RELATIVE_TOLERANCE = 1e-9  # relative difference of equal values


def interval(values: Sequence[float], confidence: float) -> Interval | None:
    """Return Student's confidence interval of the mean; None for fewer than two values, or equal ones.

    Equal values show no variance, and an interval of width zero would claim more than is known.
    """
    if len(values) < 2 or all_equal(values):
        return None
    from scipy import stats

    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    half_width = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return mean - half_width, mean + half_width


def all_equal(values: Sequence[float]) -> bool:
    """Return whether values differ only by rounding."""
    return max(values) - min(values) <= RELATIVE_TOLERANCE * max(map(abs, values))


@dataclass(frozen=True)
class SeedComparison:
    """A variant compared with the first one, seed by seed, on the same rows in the same order."""

    name: str
    first: str
    gains: list[float]  # one for each seed; positive if the variant is better
    confidence: float
    rows: int | None = None  # validation rows, if the metric counts correct rows
    unit: str = "seeds"  # or folds

    @property
    def interval(self) -> Interval | None:
        """Student's interval of the mean gain."""
        return interval(self.gains, self.confidence)

    @property
    def sentence(self) -> str:
        """A sentence with the result: better, worse, no difference, or not comparable."""
        bounds, seeds = self.interval, len(self.gains)
        if seeds < 2:
            text = f"expected two {self.unit} with both; there are {seeds}"
            return f"{self.name} cannot be compared with {self.first}: {text}"
        gain = statistics.fmean(self.gains)
        if bounds is None:
            return f"{self._without_interval(gain, seeds)}{self._resolution(gain)}"
        return f"{self._with_interval(gain, bounds, seeds)}{self._resolution(gain)}"

    def _with_interval(self, gain: float, bounds: Interval, seeds: int) -> str:
        if bounds[0] <= 0 <= bounds[1]:
            text = f"no significant difference between {self.name} and {self.first} with {seeds} {self.unit}"
            return f"{text} ({self._gain_text(gain, bounds)})"
        word, sign = ("better", 1) if gain > 0 else ("worse", -1)
        low, high = sorted(sign * end for end in bounds)
        return f"{self.name} is {word} than {self.first} by {abs(gain):.2g} ({self._interval_text(low, high)})"

    def _without_interval(self, gain: float, seeds: int) -> str:
        """Describe equal gains: their direction, but no interval."""
        if gain == 0:
            return f"no difference between {self.name} and {self.first}: equal with each of {seeds} {self.unit}"
        word = "better" if gain > 0 else "worse"
        return (
            f"{self.name} is {word} than {self.first} by the same {abs(gain):.2g} with each of {seeds} {self.unit}: "
            "without variation there is no interval, so chance is not ruled out"
        )

    def _resolution(self, gain: float) -> str:
        """Describe what one row is worth, if the difference is of about that size."""
        if not self.rows or not 0 < abs(gain) < 2 / self.rows:
            return ""
        return f"; one of the {self.rows} validation rows is {1 / self.rows:.2g}"

    def _gain_text(self, gain: float, bounds: Interval) -> str:
        return f"gain {gain:.2g}, {self._interval_text(*bounds)}"

    def _interval_text(self, low: float, high: float) -> str:
        return f"{self.confidence:.0%} interval {low:.2g} to {high:.2g}"
