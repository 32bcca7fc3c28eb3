"""Robustness to noise, missing values and adversarial steps in the inputs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array, take_rows
from tiltyard.evaluation import perturbation
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Ask, Duel

ROWS = 2000  # enough for a stable estimate; each is predicted ten times


class Robustness(Check):
    """Measures how much of the gain over the baseline is lost when the test rows are perturbed."""

    code: ClassVar = "robustness"
    title: ClassVar = "is robust to noise"
    severity: ClassVar = "HOLD"

    def observe(self, duel: Duel) -> Observation:
        """Require the loss by noise or missing values to be within the maximum, and some gain left after a step."""
        places, metric = np.arange(min(len(duel.truth), ROWS)), duel.task.metric
        clean, nothing = (duel.score(outputs, places) for outputs in (duel.challenger, duel.baseline))
        if (learned := metric.gain(clean, nothing)) <= 0:
            raise NotApplicableError("there is no gain over the baseline to lose")
        perturbed = _disturbed(duel, duel.ask, places) if duel.ask else {}
        if not perturbed:
            raise NotApplicableError("no column can be perturbed")
        observations = []
        for what, (outputs, most) in perturbed.items():
            value = metric.score(duel.truth[places], outputs, duel.context)
            lost = metric.gain(clean, value) / learned
            text = (
                f"{duel.task.gate.metric} {value:.4g} with {what} against {clean:.4g} without: {lost:.0%} of the gain "
                f"over the baseline is lost; expected at most {most:.0%}"
            )
            observations.append(Observation(lost <= most, text, lost, most, rows=len(places)))
        return together(observations)


def _disturbed(duel: Duel, ask: Ask, places: Array) -> dict[str, tuple[Array, float]]:
    """Return the outputs for each kind of perturbation that the columns allow, and the largest loss allowed."""
    gate, columns, rows = duel.task.gate, duel.task.columns, take_rows(duel.rows, places)
    generator = np.random.default_rng(duel.task.split.seed)
    perturbed: dict[str, tuple[Array, float]] = {}
    if (noisy := perturbation.add_noise(rows, columns, gate.noise, generator)) is not None:
        perturbed[f"noise of {gate.noise:g} deviations"] = ask(noisy), gate.noise_loss
        steps = [perturbation.step(rows, columns, gate.noise, generator) for _ in range(perturbation.STEPS)]
        worst = perturbation.worst_case(
            duel.truth[places], [ask(step) for step in steps], labels=bool(duel.task.classes)
        )
        perturbed[f"the worst of {perturbation.STEPS} steps of {gate.noise:g} deviations"] = worst, 1.0
    if (holes := perturbation.mask_missing(rows, columns, generator)) is not None:
        perturbed[f"{perturbation.MISSING:.0%} of values missing"] = ask(holes), gate.noise_loss
    return perturbed
