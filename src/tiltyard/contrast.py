"""What several seeds say: a mean with its interval, and whether a difference is more than luck."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Interval = tuple[float, float]


def interval(values: Sequence[float], confidence: float) -> Interval | None:
    """Give the ends of Student's interval for the mean; none from fewer than two values."""
    if len(values) < 2:
        return None
    from scipy import stats

    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * error
    return mean - reach, mean + reach


@dataclass(frozen=True)
class Contrast:
    """A variant held against the first one, seed by seed: both had the same rows, order and dice."""

    name: str
    first: str
    gains: list[float]  # a seed each; above zero where the variant is better
    confidence: float

    @property
    def interval(self) -> Interval | None:
        """Student's interval of the mean gain."""
        return interval(self.gains, self.confidence)

    @property
    def sentence(self) -> str:
        """Say it in words that claim no more than was seen."""
        ends, seeds = self.interval, len(self.gains)
        if ends is None:
            return f"{self.name} cannot be compared with {self.first}: expected two seeds with both; there are {seeds}"
        gain = statistics.fmean(self.gains)
        if ends[0] <= 0 <= ends[1]:
            told = f"no difference between {self.name} and {self.first} that {seeds} seeds can show"
            return f"{told} ({self._told(gain, ends)})"
        word, sign = ("better", 1) if gain > 0 else ("worse", -1)
        low, high = sorted(sign * end for end in ends)
        return f"{self.name} is {word} than {self.first} by {abs(gain):.2g} ({self._ends(low, high)})"

    def _told(self, gain: float, ends: Interval) -> str:
        return f"gain {gain:.2g}, {self._ends(*ends)}"

    def _ends(self, low: float, high: float) -> str:
        return f"{self.confidence:.0%} interval {low:.2g} to {high:.2g}"
