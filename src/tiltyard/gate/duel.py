"""A duel: outputs of challenger, champion and baseline for the same sealed rows, their gains, and their confidence."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows, row_count, take_rows
from tiltyard.config.task import Task
from tiltyard.evaluation.reference import Reference
from tiltyard.files import Json
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.bootstrap import Bootstrap, Gain, Interval
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.modeling.problems.base import Threshold
from tiltyard.monitoring.live_comparison import LiveComparison

Ask = Callable[[Rows], Array]  # the challenger: rows to outputs


VARIANT_TOLERANCE = 0.02  # of the champion's gain over the baseline
BATCHES = (1, 32)  # rows for which a variant must be faster
ANSWERS, WARM, SECONDS = 200, 10, 2.0  # timed predictions, untimed ones before, and the most seconds


@dataclass(frozen=True)
class Duel:
    """Outputs of all models for the same rows, and everything else that checks look at."""

    task: Task
    truth: Array
    challenger: Array
    baseline: Array
    champion: Array | None
    context: Context
    train: float  # the gate's metric on the training rows
    latency_ms: float
    live: LiveComparison | None = None  # predictions for live requests beside their ground truth
    reference: Reference | None = None  # the best of trees, linear models, TF-IDF and histograms, by validation rows
    rows: Rows = field(default_factory=dict)  # the sealed test rows, before encoding
    ask: Ask | None = None
    ask_baseline: Ask | None = None  # if it depends on the rows, such as a naive forecast
    ask_champion: Ask | None = None
    errors: Callable[[Array, Rows, Array], Array] | None = None  # of outputs, by rows as they were and by their truth
    drift: list[Json] = field(default_factory=list)  # of the inputs recorded lately, by column
    inputs: Json = field(default_factory=dict)  # how many inputs are recorded and refused, or why none are used
    facts: Json = field(default_factory=dict)  # about the model file and its provenance
    approvals: list[str] = field(default_factory=list)  # the people who approved the challenger
    time_ratios: dict[int, float] = field(default_factory=dict)  # of a variant to the champion, by number of rows
    dependence: Dependence | None = None  # between the sealed rows; None if they are independent
    served: Array | None = None  # the sealed rows that the champion does not refuse; None if it refuses none
    newer: bool = False  # the challenger was trained on newer data than the champion
    threshold: Threshold | None = None  # by which the challenger decides on a label, or on each of several
    champion_threshold: Threshold | None = None
    allow_stand_in: bool = False  # whether generated data may stand in for real files
    samples: Json = field(default_factory=dict)  # of a generative model: what its evaluation found of its samples
    uses: int = 0  # how many other versions the test rows have judged

    @property
    def confidence(self) -> float:
        """Return the confidence of each interval, corrected for repeated use of the same test rows."""
        return corrected_confidence(self.task.gate.confidence, self.uses)

    @cached_property
    def over_baseline(self) -> Gain:
        """Return the gain of the challenger over the baseline."""
        return self.gain(self.baseline)

    @cached_property
    def over_champion(self) -> Gain | None:
        """Return the gain of the challenger over the champion."""
        return None if self.champion is None else self.gain(self.champion, self.shared, self.champion_threshold)

    @property
    def shared(self) -> Array | None:
        """Return the indices of the rows that both models serve; None if these are all."""
        return None if self.served is None else np.flatnonzero(self.served)

    @property
    def refused(self) -> int:
        """Return how many sealed rows the champion refuses."""
        return 0 if self.served is None else int((~self.served).sum())

    @property
    def is_refresh(self) -> bool:
        """Whether the challenger need not be better: it is newer, or serves more, and the task wants that."""
        may_refresh = self.task.gate.refresh and self.champion is not None and not self.is_variant
        return may_refresh and (self.newer or self.refused > 0)

    @property
    def refresh_margin(self) -> float:
        """How much worse than the champion such a challenger may be: a share of the champion's gain."""
        champion = self.over_champion
        gain = self.task.metric.gain(champion.old, self.score(self.baseline, None, self.shared)) if champion else 0.0
        return self.task.gate.refresh_margin * max(gain, 0.0)

    @cached_property
    def over_reference(self) -> Gain | None:
        """Return the gain of the challenger over the reference."""
        if self.reference is None:
            return None
        return self.gain(self.reference.outputs, threshold=self.reference.threshold)

    @property
    def is_variant(self) -> bool:
        """Whether the challenger is the champion with fewer bits: it need not be better, but no worse and faster."""
        return "variant" in self.facts

    @property
    def tolerance(self) -> float:
        """How much worse than the champion a variant may be: a share of the champion's gain over the baseline."""
        champion = self.over_champion
        gain = self.task.metric.gain(champion.old, self.over_baseline.old) if champion else 0.0
        return VARIANT_TOLERANCE * max(gain, 0.0)

    @property
    def gap(self) -> float | None:
        """Return the share of the gain over the baseline that is lost between training and test rows.

        A ratio of the metric itself would not do: a training error near zero makes any gap large. None without gain.
        """
        learned = self.task.metric.gain(self.train, self.over_baseline.old)
        lost = self.task.metric.gain(self.train, self.over_baseline.new)
        return lost / learned if learned > 0 else None

    def evidence(self) -> dict[str, Any]:
        """Return the numbers that the checks used, as JSON."""
        champion = self.over_champion
        return {
            "over_baseline": self.over_baseline.to_json(),
            "over_champion": champion.to_json() if champion else None,
            "gap": self.gap,
            "latency_ms": self.latency_ms,
            "live": self.live.to_json() if self.live else None,
            "reference": self._reference_evidence(),
            "confidence": self.confidence,
            "uses": self.uses,
            "approvals": self.approvals,
            "facts": self.facts,
            **({"refresh": {"newer": self.newer, "refused": self.refused}} if self.is_refresh else {}),
            **(
                {"time_ratios": {str(rows): ratio for rows, ratio in self.time_ratios.items()}}
                if self.is_variant
                else {}
            ),
        }

    def _reference_evidence(self) -> dict[str, Any] | None:
        gain = self.over_reference.to_json() if self.over_reference else None
        if gain is None or self.reference is None:
            return None
        return {**gain, "model": self.reference.name, "fitted_to": self.reference.fitted_to}

    def score(self, outputs: Array, threshold: Threshold | None, places: Array | None = None) -> float:
        """Return the gate's metric of a model that decides at `threshold`, on all rows or those with given indices."""
        rows = slice(None) if places is None else places
        return self.task.metric.score(self.truth[rows], outputs[rows], with_threshold(self.context, threshold))

    def interval(self, value: Callable[[Array], float], places: Array, among: int = 1) -> Interval:
        """Return the interval of a value that is computed from positions among `places`; `among` as for a gain."""
        bootstrap = self._bootstrap(places, among)
        return bootstrap.intervals(lambda at: {"value": value(at)})["value"]

    def _bootstrap(self, places: Array, among: int) -> Bootstrap:
        dependence = self.dependence.take(places) if self.dependence else None
        confidence = confidence_among(self.confidence, among)
        return Bootstrap(len(places), self.task.split.seed, confidence, dependence, self.task.split.complete)

    def gain_by(self, name: str, other: Array) -> Gain:
        """Return the gain of the challenger over another model by another metric than the gate's."""
        metric = self.task.evaluator.metrics[name]
        return self._bootstrap(np.arange(len(self.truth)), 1).gain(
            metric,
            lambda outputs, drawn: metric.score(self.truth[drawn], outputs[drawn], self.context),
            self.challenger,
            other,
        )

    def gain(
        self, other: Array, places: Array | None = None, threshold: Threshold | None = None, among: int = 1
    ) -> Gain:
        """Return the gain of the challenger over another model, which decides at `threshold`, if it has one.

        `among` comparisons at once share the error rate.
        """
        rows = np.arange(len(self.truth)) if places is None else places
        metric, truth = self.task.metric, self.truth[rows]
        new_context, old_context = (with_threshold(self.context, value) for value in (self.threshold, threshold))
        return self._bootstrap(rows, among).gain(
            metric,
            lambda outputs, drawn: metric.score(truth[drawn], outputs[drawn], new_context),
            self.challenger[rows],
            other[rows],
            lambda outputs, drawn: metric.score(truth[drawn], outputs[drawn], old_context),
        )


def latency_ms(predictor: Predictor, rows: Rows) -> float:
    """Return the median time of a prediction for one row, encoding included."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < WARM + ANSWERS and (time.perf_counter() < end or len(times) <= WARM):
        row = take_rows(rows, np.array([len(times) % row_count(rows)]))
        start = time.perf_counter()
        predictor.outputs(row)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[WARM:])


def time_ratios(predictor: Predictor, champion: Predictor, rows: Rows) -> dict[int, float]:
    """Return the median time of the model relative to the champion's for some numbers of rows, without encoding."""
    ratios = {}
    for count in BATCHES:
        places = np.arange(count) % row_count(rows)
        features = [model.encoder.encode(take_rows(rows, places)) for model in (predictor, champion)]
        times: list[list[float]] = [[], []]
        end = time.perf_counter() + SECONDS
        while len(times[0]) < WARM + ANSWERS and (time.perf_counter() < end or len(times[0]) <= WARM):
            for model, values, durations in zip((predictor, champion), features, times, strict=True):
                start = time.perf_counter()
                model.run(values)
                durations.append(time.perf_counter() - start)
        ours, theirs = (statistics.median(durations[WARM:]) for durations in times)
        ratios[count] = ours / theirs
    return ratios


def corrected_confidence(confidence: float, uses: int) -> float:
    """Return the confidence after the test rows have judged `uses` other versions.

    The error rate of use n is 1/n² of that of the first, so all uses together have at most 1.65 times that rate.
    """
    return 1 - (1 - confidence) / (uses + 1) ** 2


def confidence_among(confidence: float, comparisons: int) -> float:
    """Return the confidence of each of several comparisons that share one error rate (Bonferroni)."""
    return 1 - (1 - confidence) / comparisons
