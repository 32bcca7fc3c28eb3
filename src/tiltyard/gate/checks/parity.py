"""The file that is served answers as the network that was trained."""

from __future__ import annotations

from typing import ClassVar

from tiltyard.gate.checks.base import Check, NotApplicableError, Observation
from tiltyard.gate.duel import Duel

MOST = 1e-4  # relative, as at export


class Parity(Check):
    """Export is a translation; what it was measured to lose on training rows is kept beside the model."""

    code: ClassVar = "parity"
    title: ClassVar = "answers as it did when it was trained"
    severity: ClassVar = "REJECT"

    def observe(self, duel: Duel) -> Observation:
        """Want the measured difference within what export allows."""
        parity = duel.facts.get("parity")
        if parity is None:
            raise NotApplicableError("training recorded no difference between Keras and ONNX")
        text = f"ONNX answers {parity:.2g} from Keras, relatively; expected within {MOST:g}"
        return Observation(parity <= MOST, text + ("" if parity <= MOST else ": train it again"), parity, MOST)
