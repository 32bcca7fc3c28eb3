"""The output that is explained: the probability of a label, a number, the first of several, a score, or an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.problems.captioning import Captioning, written
from tiltyard.modeling.problems.classification import probabilities
from tiltyard.modeling.problems.clustering import split

if TYPE_CHECKING:
    from tiltyard.modeling.problems.base import Target

ERROR = "the error of the reconstruction"


@dataclass(frozen=True)
class ExplainedOutput:
    """A model, and the label whose probability is explained, if it predicts labels, or the place of a score."""

    predictor: Predictor
    label: int | None
    caption: tuple[int, ...] = ()  # the ids of the words whose probability is explained, with the end
    place: int | None = None  # among the outputs of a detector, flattened

    @classmethod
    def for_row(cls, predictor: Predictor, features: Array) -> ExplainedOutput:
        """Explain the label that is predicted for one encoded row; of several, the most probable one."""
        if predictor.encoder.problem.targets == "objects":
            scores = predictor.run(features)[0].copy()
            scores[..., -4:] = 0  # sides of boxes
            return cls(predictor, None, place=int(scores.argmax()))
        if isinstance(predictor.encoder.problem, Captioning):
            return cls(predictor, None, tuple(written(predictor.run(features)[0])))
        if predictor.encoder.problem.clusters:
            memberships, _ = split(predictor.run(features))
            return cls(predictor, int(memberships[0].argmax()))
        if predictor.encoder.problem.targets not in ("label", "labels"):
            return cls(predictor, None)
        return cls(predictor, int(probabilities(predictor.run(features))[0].argmax()))

    def describe(self, target: Target) -> str:
        """Describe the output, for a sentence or an axis."""
        if self.predictor.encoder.problem.clusters:
            return f"the membership in {self.name}"
        if self.label is not None and self.name:
            return f"the probability of {self.name if self.name[:1].isalpha() else f'label {self.name}'}"
        if self.place is not None:
            label = self.predictor.encoder.classes[self.place % (len(self.predictor.encoder.classes) + 4)]
            return f"the score of the object with the highest one, {label}"
        if self.caption:
            return "the probability of the caption"
        if self.is_error:
            return ERROR
        target = target.parts[0]
        ahead = " one step ahead" if target.horizon > 1 else ""
        return f"{target.column}{ahead}" + (f" ({target.unit})" if target.unit else "")

    @property
    def name(self) -> str | None:
        """The name of the label, or of the number that is explained out of several."""
        if self.predictor.encoder.problem.clusters:
            return "its cluster" if self.label is None else f"cluster {self.label}"
        if self.label is not None:
            return self.predictor.encoder.classes[self.label]
        return next(iter(self.predictor.encoder.target.get("names", ())), None)

    @property
    def is_error(self) -> bool:
        """Whether the output is the error of a reconstruction."""
        return self.predictor.encoder.problem.reconstructs

    def __call__(self, features: Array) -> Array:
        """Return the explained output of each encoded row."""
        outputs = self.predictor.run(features)
        if self.caption:
            steps = np.arange(len(self.caption))
            return np.asarray(outputs[:, steps, list(self.caption)].astype(np.float64).prod(axis=1))
        if self.predictor.encoder.problem.clusters:
            return np.asarray(outputs[:, self.label or 0], dtype=np.float64)
        if self.label is not None:
            outputs = probabilities(outputs)[:, self.label]
        if self.place is not None:
            outputs = outputs.reshape(len(outputs), -1)[:, self.place]
        numbers: Array = outputs.reshape(len(outputs), -1)[:, -1 if self.is_error else 0].astype(np.float64)
        return numbers
