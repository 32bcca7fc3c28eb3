"""Parity: the exported ONNX file predicts the same as the Keras model."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel

MOST = 1e-4  # relative, as at export


class Parity(Check):
    """The largest difference on training rows, which training/onnx/export.py measured at the export."""

    code: ClassVar = "parity"
    title: ClassVar = "predicts the same after export"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Require the measured difference to be within the tolerance of the export."""
        parity = duel.facts.get("parity")
        if parity is None:
            raise NotApplicableError("training recorded no difference between Keras and ONNX")
        text = f"largest relative difference between ONNX and Keras {parity:.2g}; expected at most {MOST:g}"
        return Observation(parity <= MOST, text + ("" if parity <= MOST else ": train it again"), parity, MOST)
