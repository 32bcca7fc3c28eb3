"""Size: the model file and the memory it needs."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation, together
from tiltyard.gate.duel import Duel


class Size(Check):
    """Size of the packaged file, and the memory of a process that has loaded it."""

    code: ClassVar = "size"
    title: ClassVar = "fits its limits of size and memory"
    severity: ClassVar = "REJECT"
    repeatable: ClassVar = False

    def observe(self, duel: Duel) -> Observation:
        """Require file and memory to be within the task's maximum."""
        gate = duel.task.gate
        if "size_mb" not in duel.facts:
            raise NotApplicableError("there is no model file to measure")
        weighed = (("size_mb", "a model.onnx", gate.size_mb), ("memory_mb", "memory", gate.memory_mb))
        observations = [
            Observation(
                duel.facts[key] <= limit,
                f"{description} of {duel.facts[key]:.4g} MB; expected at most {limit:g} MB",
                duel.facts[key],
                limit,
            )
            for key, description, limit in weighed
            if key in duel.facts
        ]
        return together(observations, ", ")
