"""Small enough for where it is to run."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.duel import Duel
from tiltyard.gate import Check, NotApplicableError


class Size(Check):
    """The file that is packaged, and the memory of a process that opens it and answers."""

    code: ClassVar = "size"
    title: ClassVar = "fits where it is to run"
    severity: ClassVar = "REJECT"
    repeatable: ClassVar = False

    def complaint(self, duel: Duel) -> str | None:
        """Want file and memory at the task's maximum."""
        gate = duel.task.gate
        told = [
            f"{what} of {duel.facts[key]:.4g} MB; expected at most {most:g} MB"
            for key, what, most in (
                ("size_mb", "a model.onnx", gate.size_mb),
                ("memory_mb", "memory", gate.memory_mb),
            )
            if duel.facts.get(key, 0.0) > most
        ]
        if "size_mb" not in duel.facts:
            raise NotApplicableError("there is no file to weigh")
        return ", ".join(told) or None
