"""Live comparison of a challenger with the champion on recorded traffic (shadow or canary), by ground truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.gate_section import Gate
from tiltyard.modeling.metrics.bootstrap import RESAMPLES, Bootstrap, Gain
from tiltyard.monitoring.live_quality import MIN_TRUTHS, ROW_KEYS, LiveQuality, outputs_of, truths_of

if TYPE_CHECKING:
    import pandas as pd

TruthsAndOutputs = tuple[Array, Array]  # truths, and the outputs for them


@dataclass(frozen=True)
class LiveComparison:
    """The gain of a challenger over the champion, the number of truths, and whether both predicted the same rows."""

    gain: Gain
    truths: int
    same: bool

    def describe(self, gate: Gate) -> str:
        """Return a sentence with both values and the gain."""
        gain = self.gain
        rows = "the same requests" if self.same else "requests of other clients in the same period"
        return (
            f"live {gate.metric} {gain.new:.4g} against the champion's {gain.old:.4g} by {self.truths} truths of "
            f"{rows}: a gain of {gain.value:.4g} ({gate.confidence:.0%} interval {gain.low:.4g} to {gain.high:.4g})"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def compare(quality: LiveQuality, new: str, old: str) -> LiveComparison | None:
    """Return the comparison of two versions; None if there are too few truths.

    A shadow predicts the same rows as the champion, so the comparison is paired. A canary predicts rows of other
    clients, so only the champion's predictions of the same period are used.
    """
    challenger, champion = quality.with_truth(new), quality.with_truth(old)
    both = challenger.merge(champion, on=ROW_KEYS, suffixes=("", "_old"))
    if len(both) >= MIN_TRUTHS:
        comparison = LiveComparison(_paired(quality, both), len(both), same=True)
    else:
        champion = champion[champion["time"].between(challenger["time"].min(), challenger["time"].max())]
        if (fewer := min(len(challenger), len(champion))) < MIN_TRUTHS:
            return None
        comparison = LiveComparison(_unpaired(quality, challenger, champion), fewer, same=False)
    return comparison if np.isfinite([comparison.gain.value, comparison.gain.low, comparison.gain.high]).all() else None


def _paired(quality: LiveQuality, both: pd.DataFrame) -> Gain:
    task, truth = quality.task, truths_of(quality.task, both)
    bootstrap = Bootstrap(len(both), task.split.seed, task.gate.confidence)
    new, old = (outputs_of(task, both, column) for column in ("answer", "answer_old"))
    return bootstrap.gain(task.metric, lambda out, at: task.metric.score(truth[at], out[at], quality.context), new, old)


def _unpaired(quality: LiveQuality, new: pd.DataFrame, old: pd.DataFrame) -> Gain:
    """Return the gain with a bootstrap that draws the rows of each version independently."""
    task, generator = quality.task, np.random.default_rng(quality.task.split.seed)
    known: list[TruthsAndOutputs] = [(truths_of(task, rows), outputs_of(task, rows)) for rows in (new, old)]

    def scores(places: list[Array]) -> tuple[float, float]:
        new, old = (task.metric.score(t[at], o[at], quality.context) for (t, o), at in zip(known, places, strict=True))
        return new, old

    sizes = [len(truth) for truth, _ in known]
    resamples = ([generator.integers(0, size, size) for size in sizes] for _ in range(RESAMPLES))
    gains = [task.metric.gain(*scores(places)) for places in resamples]
    tail = (1 - task.gate.confidence) / 2
    low, high = np.quantile(gains, [tail, 1 - tail])
    whole = scores([np.arange(size) for size in sizes])
    return Gain(*whole, task.metric.gain(*whole), float(low), float(high))


def agreement(quality: LiveQuality, new: str, old: str) -> dict[str, float] | None:
    """Return the agreement of two versions on the same rows: the share of equal labels, or distances of numbers."""
    both = quality.predictions_of(new).merge(quality.predictions_of(old), on=ROW_KEYS, suffixes=("", "_old"))
    if not len(both) or quality.task.problem_type.targets == "text":
        return None
    one, other = (outputs_of(quality.task, both, column) for column in ("answer", "answer_old"))
    if quality.task.classes:
        return {"answers": len(both), "equal": float((one.argmax(axis=1) == other.argmax(axis=1)).mean())}
    apart = np.abs(one - other).reshape(len(both), -1).mean(axis=1)
    return {"answers": len(both), "apart": float(apart.mean()), "apart_p99": float(np.quantile(apart, 0.99))}
