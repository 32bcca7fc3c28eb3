"""Robustness to noise, missing values and adversarial steps in the inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, take_rows
from tiltyard.gate import perturbation
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Ask, Duel
from tiltyard.modeling.evaluators.anomaly import Anomaly
from tiltyard.modeling.metrics.base import with_threshold
from tiltyard.modeling.problems.base import Threshold

ROWS = 2000  # disturbed first; each is predicted ten times by each model
AMONG = 12  # three kinds of perturbations, each on up to four numbers of rows, share the error rate
MOST_ROWS = 16_000  # disturbed at most, while it is not sure on which side of the limit the loss is


@dataclass(frozen=True)
class Loss:
    """What a perturbation costs on some rows: the share of the gain over the baseline, with its interval."""

    description: str
    limit: float
    clean: float
    value: float
    lost: float
    interval: tuple[float, float]
    over_champion: float | None  # the gain of the disturbed challenger over the disturbed champion
    rows: int

    @property
    def sure(self) -> bool:
        """Return whether the whole interval is on one side of the limit."""
        return not self.interval[0] <= self.limit <= self.interval[1]

    def observation(self, metric: str) -> Observation:
        """Return whether the loss is within the limit, not surely above it, or no reason to keep the champion."""
        no_worse = self.over_champion is not None and self.over_champion >= 0
        text = (
            f"{metric} {self.value:.4g} with {self.description} against {self.clean:.4g} without: {self.lost:.0%} of "
            f"the gain over the baseline is lost (interval {self.interval[0]:.0%} to {self.interval[1]:.0%}); "
            f"expected at most {self.limit:.0%}, or an interval that includes it"
        )
        if self.interval[0] > self.limit and no_worse:
            text += f", or no worse than the champion, which is {self.over_champion:.3g} worse with it"
        return Observation(
            self.interval[0] <= self.limit or no_worse, text, self.lost, self.limit, self.interval, self.rows
        )


class Robustness(Check):
    """Measures how much of the gain over the baseline is lost when the test rows are perturbed for every model."""

    code: ClassVar = "robustness"
    title: ClassVar = "is robust to noise"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require that no perturbation surely costs more than its maximum, or that the champion is no better then."""
        if duel.task.problem_type.targets == "text":
            raise NotApplicableError("it compares labels and numbers; the model predicts texts")
        if duel.ask is None:
            clusters = duel.task.problem_type.clusters
            raise NotApplicableError("clusters are not predictions" if clusters else "no column can be perturbed")
        rows, losses = min(len(duel.truth), ROWS), list[Loss]()
        while rows and not losses:
            measured = _losses(duel, duel.ask, _spread(len(duel.truth), rows))
            enough = all(loss.sure for loss in measured) or rows >= min(len(duel.truth), MOST_ROWS)
            losses, rows = (measured, 0) if enough else ([], min(2 * rows, len(duel.truth), MOST_ROWS))
        return together([loss.observation(duel.task.gate.metric) for loss in losses])


def _spread(total: int, rows: int) -> Array:
    """Return so many indices, evenly spaced, since rows may be in order of time."""
    return np.unique(np.linspace(0, total - 1, rows).astype(np.int64))


def _losses(duel: Duel, ask: Ask, places: Array) -> list[Loss]:
    """Return the loss by each perturbation that the columns allow."""
    clean = duel.score(duel.challenger, duel.threshold, places)
    nothing = duel.score(duel.baseline, None, places)
    if duel.task.metric.gain(clean, nothing) <= 0:
        raise NotApplicableError("there is no gain over the baseline to lose")
    perturbations = _perturbations(duel, places)
    if not perturbations:
        raise NotApplicableError("no column can be perturbed")
    return [_loss(duel, ask, places, perturbed) for perturbed in perturbations]


@dataclass(frozen=True)
class Perturbation:
    """Versions of the rows, of which the worst for each model and row counts, and the largest loss allowed."""

    description: str
    versions: list[Rows]
    limit: float


def _perturbations(duel: Duel, places: Array) -> list[Perturbation]:
    """Return the perturbations that the columns allow."""
    gate, columns, rows = duel.task.gate, duel.task.columns, take_rows(duel.rows, places)
    generator, perturbations = np.random.default_rng(duel.task.split.seed), list[Perturbation]()
    if (noisy := perturbation.add_noise(rows, columns, gate.noise, generator)) is not None:
        perturbations.append(Perturbation(f"noise of {gate.noise:g} deviations", [noisy], gate.noise_loss))
        steps = [perturbation.step(rows, columns, gate.noise, generator) for _ in range(perturbation.STEPS)]
        perturbations.append(Perturbation(f"the worst of {len(steps)} steps of {gate.noise:g} deviations", steps, 1.0))
    if (holes := perturbation.mask_missing(rows, columns, generator)) is not None:
        perturbations.append(Perturbation(f"{perturbation.MISSING:.0%} of values missing", [holes], gate.noise_loss))
    return perturbations


def _loss(duel: Duel, ask: Ask, places: Array, perturbed: Perturbation) -> Loss:
    """Measure what one perturbation costs; the interval compares the gain that is kept with the one required."""
    metric, truth = duel.task.metric, duel.truth[places]
    clean, still = duel.challenger[places], duel.baseline[places]
    disturbed = _worst(duel, places, perturbed, ask)
    baseline = _worst(duel, places, perturbed, duel.ask_baseline) if duel.ask_baseline else still

    def score(outputs: Array, at: Array, threshold: Threshold | None = duel.threshold) -> float:
        return metric.score(truth[at], outputs[at], with_threshold(duel.context, threshold))

    def spare(at: Array) -> float:
        remaining_gain = metric.gain(score(disturbed, at), score(baseline, at, None))
        return remaining_gain - (1 - perturbed.limit) * metric.gain(score(clean, at), score(still, at, None))

    everything = np.arange(len(places))
    learned = metric.gain(score(clean, everything), score(still, everything, None))
    low, high = duel.interval(spare, places, AMONG)
    over_champion = None
    if duel.ask_champion:
        champion = _worst(duel, places, perturbed, duel.ask_champion)
        over_champion = metric.gain(score(disturbed, everything), score(champion, everything, duel.champion_threshold))
    return Loss(
        perturbed.description,
        perturbed.limit,
        score(clean, everything),
        score(disturbed, everything),
        perturbed.limit - spare(everything) / learned,
        (perturbed.limit - high / learned, perturbed.limit - low / learned),
        over_champion,
        len(places),
    )


def _worst(duel: Duel, places: Array, perturbed: Perturbation, ask: Ask) -> Array:
    """Return the outputs with the largest error among the versions, for each row."""
    outputs, truth = [ask(rows) for rows in perturbed.versions], duel.truth[places]
    if duel.errors:
        outputs = [duel.errors(one, take_rows(duel.rows, places), truth) for one in outputs]
    if len(outputs) == 1:
        return outputs[0]
    errors = [duel.task.evaluator.errors_of_rows(truth, one) for one in outputs]
    if known := [one for one in errors if one is not None]:
        return perturbation.worst_of(np.stack(known), outputs)
    if isinstance(duel.task.evaluator, Anomaly):
        return duel.task.evaluator.worst_case(truth, outputs)
    scales = duel.task.evaluator.scales(duel.context)
    return perturbation.worst_case(truth, outputs, labels=bool(duel.task.classes), scales=scales)
