"""The samples of a generative model differ from each other: no class is missing, and its code is in use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

from tiltyard.files import Json
from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel

LEAST_SHARE = 0.1  # of what a class has among test rows
LEAST_ACTIVE = 2  # numbers of a code, if it has so many


class SampleVariety(Check):
    """Collapse: a generator that always draws the same picture, or a decoder that ignores its code."""

    code: ClassVar = "sample_variety"
    title: ClassVar = "draws samples of all kinds"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require samples that vary as test rows do, every class among them, and numbers of the code in use."""
        if not duel.samples:
            raise NotApplicableError(f"{duel.task.problem} draws no samples")
        return together([*_observations(duel.samples, duel.task.gate.variety, len(duel.truth))])


def _observations(samples: Json, least: float, rows: int) -> Iterator[Observation]:
    variety = samples["variety"]
    text = f"the features of samples have {variety:.0%} of the variance of those of test rows"
    yield Observation(variety >= least, f"{text}; expected at least {least:.0%}", variety, least)
    if classes := samples.get("classes"):
        yield _rarest(classes, rows)
    if units := samples.get("active_units"):
        expected = min(LEAST_ACTIVE, units["of"])
        text = f"{units['active']} of {units['of']} numbers of the code are in use; expected at least {expected}"
        yield Observation(units["active"] >= expected, text, float(units["active"]), float(expected))


def _rarest(classes: Json, rows: int) -> Observation:
    """Return whether the class with the fewest samples, relative to test rows, has enough of them beyond chance."""
    pairs = zip(classes["names"], classes["samples"], classes["rows"], strict=True)
    name, share, usual = min(
        ((name, share, usual) for name, share, usual in pairs if usual), key=lambda each: each[1] / each[2]
    )
    limit = LEAST_SHARE * usual
    chance = 2 * math.sqrt(limit * (1 - limit) / rows)
    text = (
        f"{share:.2%} of samples are of class {name}, by a classifier of the training rows, and {usual:.2%} of test "
        f"rows; expected at least {limit:.2%}, less chance"
    )
    return Observation(share >= limit - chance, text, share, limit)
