"""Live comparison of a challenger with the champion on recorded traffic (shadow or canary), by ground truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.gate_section import Gate
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.metrics.bootstrap import RESAMPLES, Bootstrap, Gain
from tiltyard.modeling.problems.anomaly import flags
from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK
from tiltyard.modeling.problems.classification import labels as decide
from tiltyard.modeling.problems.multilabel import predicted
from tiltyard.monitoring.live_quality import MIN_TRUTHS, ROW_KEYS, LiveQuality, outputs_of, truths_of

if TYPE_CHECKING:
    import pandas as pd

TruthsAndOutputs = tuple[Array, Array]  # truths, and the outputs for them
Contexts = tuple[Context, Context]  # of the metric of challenger and champion


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
    paired = challenger.merge(champion, on=ROW_KEYS, suffixes=("", "_old"))
    if len(paired) >= MIN_TRUTHS:
        contexts = quality.context_of(new), quality.context_of(old)
        comparison = LiveComparison(_paired(quality, paired, contexts), len(paired), same=True)
    else:
        champion = champion[champion["time"].between(challenger["time"].min(), challenger["time"].max())]
        if (truths := min(len(challenger), len(champion))) < MIN_TRUTHS:
            return None
        contexts = quality.context_of(new), quality.context_of(old)
        comparison = LiveComparison(_unpaired(quality, challenger, champion, contexts), truths, same=False)
    return comparison if np.isfinite([comparison.gain.value, comparison.gain.low, comparison.gain.high]).all() else None


def _paired(quality: LiveQuality, rows: pd.DataFrame, contexts: Contexts) -> Gain:
    task, truth = quality.task, truths_of(quality.task, rows)
    bootstrap = Bootstrap(len(rows), task.split.seed, task.gate.confidence)
    new, old = (outputs_of(task, rows, column) for column in ("answer", "answer_old"))

    def score(context: Context, outputs: Array, at: Array) -> float:
        return task.metric.score(truth[at], outputs[at], context)

    return bootstrap.gain(task.metric, partial(score, contexts[0]), new, old, partial(score, contexts[1]))


def _unpaired(quality: LiveQuality, new: pd.DataFrame, old: pd.DataFrame, contexts: Contexts) -> Gain:
    """Return the gain with a bootstrap that draws the rows of each version independently."""
    task, generator = quality.task, np.random.default_rng(quality.task.split.seed)
    samples: list[TruthsAndOutputs] = [(truths_of(task, rows), outputs_of(task, rows)) for rows in (new, old)]

    def scores(drawn_rows: list[Array]) -> tuple[float, float]:
        new, old = (
            task.metric.score(truth[drawn], outputs[drawn], context)
            for (truth, outputs), drawn, context in zip(samples, drawn_rows, contexts, strict=True)
        )
        return new, old

    sizes = [len(truth) for truth, _ in samples]
    resamples = ([generator.integers(0, size, size) for size in sizes] for _ in range(RESAMPLES))
    gains = [task.metric.gain(*scores(drawn_rows)) for drawn_rows in resamples]
    tail = (1 - task.gate.confidence) / 2
    low, high = np.quantile(gains, [tail, 1 - tail])
    values = scores([np.arange(size) for size in sizes])
    return Gain(*values, task.metric.gain(*values), float(low), float(high))


def agreement(quality: LiveQuality, new: str, old: str) -> dict[str, float] | None:
    """Return the agreement of two versions on the same rows: the share of equal labels, or distances of numbers."""
    rows = quality.predictions_of(new).merge(quality.predictions_of(old), on=ROW_KEYS, suffixes=("", "_old"))
    if not len(rows) or quality.task.problem_type.targets in WITHOUT_FEEDBACK:
        return None
    new_outputs, old_outputs = (outputs_of(quality.task, rows, column) for column in ("answer", "answer_old"))
    if quality.task.problem == "multilabel":
        pairs = (new, new_outputs), (old, old_outputs)
        labels = [predicted(outputs, quality.thresholds.get(version)) for version, outputs in pairs]
        equal = (labels[0] == labels[1]).all(axis=1)
        return {"answers": len(rows), "equal": float(equal.mean())}
    if quality.task.problem == "anomaly":
        pairs = (new, new_outputs), (old, old_outputs)
        raised = [flags(outputs, quality.context_of(version).get("threshold", 0.0)) for version, outputs in pairs]
        return {"answers": len(rows), "equal": float((raised[0] == raised[1]).mean())}
    if quality.task.classes:
        decided = (decide(new_outputs, quality.thresholds.get(new)), decide(old_outputs, quality.thresholds.get(old)))
        return {"answers": len(rows), "equal": float((decided[0] == decided[1]).mean())}
    scales = quality.task.evaluator.scales(quality.context) if "deviations" in quality.context else None
    apart = np.abs(new_outputs - old_outputs) / (1.0 if scales is None else scales)  # several numbers: in deviations
    distances = apart.reshape(len(rows), -1).mean(axis=1)
    return {"answers": len(rows), "apart": float(distances.mean()), "apart_p99": float(np.quantile(distances, 0.99))}
