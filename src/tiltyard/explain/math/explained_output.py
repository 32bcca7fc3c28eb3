"""What of an answer is explained: the probability of its label, or its number; of a forecast the first step ahead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.problems.classification import probabilities

if TYPE_CHECKING:
    from tiltyard.modeling.problems.base import Target


@dataclass(frozen=True)
class ExplainedOutput:
    """A model, and the label whose probability is looked at, if it answers with labels."""

    predictor: Predictor
    label: int | None

    @classmethod
    def on(cls, predictor: Predictor, features: Array) -> ExplainedOutput:
        """Look at what the model answers for one encoded row."""
        if predictor.encoder.problem.targets != "label":
            return cls(predictor, None)
        return cls(predictor, int(probabilities(predictor.run(features))[0].argmax()))

    def spelled(self, target: Target) -> str:
        """Return what it is, for a sentence or an axis."""
        if self.name:
            return f"the probability of {self.name if self.name[:1].isalpha() else f'label {self.name}'}"
        ahead = " one step ahead" if target.horizon > 1 else ""
        return f"{target.column}{ahead}" + (f" ({target.unit})" if target.unit else "")

    @property
    def name(self) -> str | None:
        """What the label is called."""
        return None if self.label is None else self.predictor.encoder.classes[self.label]

    def __call__(self, features: Array) -> Array:
        """Return the number that is explained, for each of some encoded rows."""
        outputs = self.predictor.run(features)
        if self.label is not None:
            outputs = probabilities(outputs)[:, self.label]
        numbers: Array = outputs.reshape(len(outputs), -1)[:, 0].astype(np.float64)
        return numbers
