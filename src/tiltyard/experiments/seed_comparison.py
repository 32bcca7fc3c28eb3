"""What several seeds say: a mean with its interval, and whether a difference is more than luck."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float]
ROUNDING = 1e-9  # share of a value by which equal ones may differ


def interval(values: Sequence[float], confidence: float) -> Interval | None:
    """Return the ends of Student's interval for the mean; None from fewer than two values, or from equal ones.

    Equal values say nothing of how far luck reaches: an interval without width would claim to know it.
    """
    if len(values) < 2 or equal(values):
        return None
    from scipy import stats

    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


def equal(values: Sequence[float]) -> bool:
    """Return whether values differ by no more than rounding."""
    return max(values) - min(values) <= ROUNDING * max(map(abs, values))


@dataclass(frozen=True)
class SeedComparison:
    """A variant held against the first one, seed by seed: both had the same rows, order and dice."""

    name: str
    first: str
    gains: list[float]  # a seed each; above zero where the variant is better
    confidence: float
    rows: int | None = None  # validation rows, where the metric counts right and wrong ones

    @property
    def interval(self) -> Interval | None:
        """Student's interval of the mean gain."""
        return interval(self.gains, self.confidence)

    @property
    def sentence(self) -> str:
        """Return a sentence that claims no more than was seen."""
        ends, seeds = self.interval, len(self.gains)
        if seeds < 2:
            return f"{self.name} cannot be compared with {self.first}: expected two seeds with both; there are {seeds}"
        gain = statistics.fmean(self.gains)
        if ends is None:
            return f"{self._the_same(gain, seeds)}{self._resolution(gain)}"
        return f"{self._apart(gain, ends, seeds)}{self._resolution(gain)}"

    def _apart(self, gain: float, ends: Interval, seeds: int) -> str:
        if ends[0] <= 0 <= ends[1]:
            told = f"no difference between {self.name} and {self.first} that {seeds} seeds can show"
            return f"{told} ({self._told(gain, ends)})"
        word, sign = ("better", 1) if gain > 0 else ("worse", -1)
        low, high = sorted(sign * end for end in ends)
        return f"{self.name} is {word} than {self.first} by {abs(gain):.2g} ({self._ends(low, high)})"

    def _the_same(self, gain: float, seeds: int) -> str:
        """Return what equal gains show: which way, but not how far luck reaches."""
        if gain == 0:
            told = f"no difference between {self.name} and {self.first} that {seeds} seeds can show"
            return f"{told}: each gave both the same"
        word = "better" if gain > 0 else "worse"
        return (
            f"{self.name} came out {word} than {self.first} by {abs(gain):.2g} with each of {seeds} seeds, "
            "always by the same: there is no interval, and luck is not ruled out"
        )

    def _resolution(self, gain: float) -> str:
        """Return what one row is worth, where a difference is of about that size."""
        if not self.rows or not 0 < abs(gain) < 2 / self.rows:
            return ""
        return f"; one of the {self.rows} validation rows is {1 / self.rows:.2g}"

    def _told(self, gain: float, ends: Interval) -> str:
        return f"gain {gain:.2g}, {self._ends(*ends)}"

    def _ends(self, low: float, high: float) -> str:
        return f"{self.confidence:.0%} interval {low:.2g} to {high:.2g}"
