"""A duel: challenger, champion and baseline on the same sealed rows, and what the checks ask about them."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tiltyard.bootstrap import Bootstrap, Gain
from tiltyard.column import Array, Rows, count, take
from tiltyard.predictor import Predictor
from tiltyard.problem import Context
from tiltyard.rivals import Match
from tiltyard.task import Task

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
    live: Match | None = None  # what clients sent, and what became true of it

    @cached_property
    def over_baseline(self) -> Gain:
        """What the challenger gains over the baseline."""
        return self._gain(self.baseline)

    @cached_property
    def over_champion(self) -> Gain | None:
        """What the challenger gains over the champion."""
        return None if self.champion is None else self._gain(self.champion)

    @property
    def gap(self) -> float | None:
        """The share of its gain over the baseline that the challenger loses between training and test rows.

        The train value alone is no measure: an error near zero would make any gap large. None if nothing was gained.
        """
        learned = self.task.metric.gain(self.train, self.over_baseline.old)
        lost = self.task.metric.gain(self.train, self.over_baseline.new)
        return lost / learned if learned > 0 else None

    def evidence(self) -> dict[str, Any]:
        """Give the numbers that the checks looked at, as JSON."""
        champion = self.over_champion
        return {
            "over_baseline": asdict(self.over_baseline),
            "over_champion": asdict(champion) if champion else None,
            "gap": self.gap,
            "latency_ms": self.latency_ms,
            "live": self.live.to_json() if self.live else None,
        }

    def _gain(self, other: Array) -> Gain:
        metric, context = self.task.metric, self.context
        bootstrap = Bootstrap(len(self.truth), self.task.split.seed, self.task.gate.confidence)
        return bootstrap.gain(
            metric, lambda outputs, rows: metric.score(self.truth[rows], outputs[rows], context), self.challenger, other
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
