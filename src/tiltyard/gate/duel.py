"""A duel: challenger, champion and baseline on the same sealed rows, and what the checks ask about them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows, count, take
from tiltyard.config.task import Task
from tiltyard.evaluation.simple_model import SimpleModel
from tiltyard.files import Json
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.metrics.bootstrap import Bootstrap, Gain
from tiltyard.monitoring.live_comparison import LiveComparison

Ask = Callable[[Rows], Array]  # the challenger: rows to outputs


ANSWERS, WARM, SECONDS = 200, 10, 2.0  # timed answers, answers before those, and when enough is enough


@dataclass(frozen=True)
class Duel:
    """Outputs for the same rows; `champion` is None while there is none."""

    task: Task
    truth: Array
    challenger: Array
    baseline: Array
    champion: Array | None
    context: Context
    train: float  # the gate's metric on the training rows
    latency_ms: float
    live: LiveComparison | None = None  # what clients sent, and what became true of it
    simple: SimpleModel | None = None  # what a linear model or a tree makes of the same features
    rows: Rows = field(default_factory=dict)  # the sealed ones, as clients would send them
    ask: Ask | None = None
    drift: list[Json] = field(default_factory=list)  # of what clients sent lately, column by column
    inputs: Json = field(default_factory=dict)  # how many of these there are, how many are refused; or why none count
    facts: Json = field(default_factory=dict)  # about the file that is judged and where it comes from
    approvals: list[str] = field(default_factory=list)  # who has approved the challenger
    uses: int = 0  # how many other versions the sealed rows have judged

    @property
    def confidence(self) -> float:
        """What an interval must have, since whoever looks often enough at the same rows is lucky once.

        The chances of all looks are 1/1, 1/4, 1/9, 1/16... of what the first has, and 1.65 times that together.
        """
        return 1 - (1 - self.task.gate.confidence) / (self.uses + 1) ** 2

    @cached_property
    def over_baseline(self) -> Gain:
        """What the challenger gains over the baseline."""
        return self.gain(self.baseline)

    @cached_property
    def over_champion(self) -> Gain | None:
        """What the challenger gains over the champion."""
        return None if self.champion is None else self.gain(self.champion)

    @cached_property
    def over_simple(self) -> Gain | None:
        """What the challenger gains over the simple model."""
        return None if self.simple is None else self.gain(self.simple.outputs)

    @property
    def gap(self) -> float | None:
        """The share of its gain over the baseline that the challenger loses between training and test rows.

        The train value alone is no measure: an error near zero would make any gap large. None if nothing was gained.
        """
        learned = self.task.metric.gain(self.train, self.over_baseline.old)
        lost = self.task.metric.gain(self.train, self.over_baseline.new)
        return lost / learned if learned > 0 else None

    def evidence(self) -> dict[str, Any]:
        """Return the numbers that the checks looked at, as JSON."""
        champion = self.over_champion
        return {
            "over_baseline": asdict(self.over_baseline),
            "over_champion": asdict(champion) if champion else None,
            "gap": self.gap,
            "latency_ms": self.latency_ms,
            "live": self.live.to_json() if self.live else None,
            "simple": asdict(self.over_simple) if self.over_simple else None,
            "confidence": self.confidence,
            "uses": self.uses,
            "approvals": self.approvals,
            "facts": self.facts,
        }

    def score(self, outputs: Array, places: Array | None = None) -> float:
        """Return the gate's metric, of all rows or of those at some places."""
        rows = slice(None) if places is None else places
        return self.task.metric.score(self.truth[rows], outputs[rows], self.context)

    def gain(self, other: Array, places: Array | None = None, among: int = 1) -> Gain:
        """Return what the challenger gains over another; of so many looks at once each has to be the surer."""
        rows = np.arange(len(self.truth)) if places is None else places
        metric, context, truth = self.task.metric, self.context, self.truth[rows]
        bootstrap = Bootstrap(len(rows), self.task.split.seed, 1 - (1 - self.confidence) / among)
        return bootstrap.gain(
            metric,
            lambda outputs, drawn: metric.score(truth[drawn], outputs[drawn], context),
            self.challenger[rows],
            other[rows],
        )


def latency_ms(predictor: Predictor, rows: Rows) -> float:
    """Time answers to one row, encoding included; give the median."""
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(times) < WARM + ANSWERS and (time.perf_counter() < end or len(times) <= WARM):
        row = take(rows, np.array([len(times) % count(rows)]))
        start = time.perf_counter()
        predictor.outputs(row)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[WARM:])
