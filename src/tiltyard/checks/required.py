"""The values that the task requires, whoever is champion."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError


class Required(Check):
    """To beat a bad champion is not yet to be good enough."""

    code: ClassVar = "required"
    title: ClassVar = "reaches the required values"
    severity: ClassVar = "REJECT"

    def complaint(self, duel: Duel) -> str | None:
        """Want each named metric at its value or better."""
        wanted = duel.task.gate.require
        if not wanted:
            raise NotApplicableError("gate.require names no value")
        short = []
        for name, least in wanted.items():
            metric = duel.task.kind.metrics[name]
            value = metric.score(duel.truth, duel.challenger, duel.context)
            if metric.gain(value, least) < 0:
                most = "at least" if metric.higher_is_better else "at most"
                short.append(f"{name} {value:.4g}; expected {most} {least:g}")
        return ", ".join(short) or None
