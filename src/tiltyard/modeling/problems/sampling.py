"""Sampling: learn the distribution of the rows, and draw new ones from a code; labels are conditions.

A model has two graphs. `model.onnx` reads a row: its outputs are, side by side, the row as it is reconstructed, the
code, the logarithms of the code's variances, and a score; without an encoder, the score alone. `decoder.onnx` reads a
code, with a flag for each class if the model is conditional, and returns the features of a row, standardised. What of
this a model has is in the fitted target: `facts` of its sampler (training/samplers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.problems.base import FittedEncoder, Target
from tiltyard.modeling.problems.reconstruction import Reconstruction, restored, restored_schema, width

Prior = Literal["normal", "uniform"]  # standard normal; uniform from 0 to 1


@dataclass(frozen=True)
class Facts:
    """What a generative model consists of, as its training has written it into the encoder."""

    code: int  # how many numbers the decoder reads, beside the flags of the classes
    prior: Prior  # from which codes are drawn
    score: str  # what the last output of model.onnx is, for clients
    conditional: bool = False  # whether the decoder reads a class
    encodes: bool = False  # whether model.onnx returns a reconstruction and a code
    posterior: bool = False  # whether it returns the variances of the code, too

    @classmethod
    def of(cls, encoder: FittedEncoder) -> Facts:
        """Return the facts of a trained model."""
        return cls(**{name: encoder.target[name] for name in cls.__dataclass_fields__})


class Sampling(Reconstruction):
    """Rows have no target to predict; their labels, if the task names them, are conditions of the samples."""

    losses: ClassVar = {"sigmoid": ("binary_crossentropy",)}
    reconstructs: ClassVar = False
    generates: ClassVar = True

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Keep the labels."""
        return {"labels": target.classes} if target.classes else {}

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the score of each row."""
        return outputs[:, -1:]

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the reconstruction, the code and the score; only the score of a model without an encoder."""
        score, facts = outputs[:, -1].astype(np.float64).tolist(), Facts.of(self.encoder)
        if not facts.encodes:
            return list(score)
        row, code, _ = parts(self.encoder, outputs)
        rows = self.encoder.joined(restored(self.encoder, row.astype(np.float64)))
        columns = zip(rows, code.astype(np.float64).tolist(), score, strict=True)
        return [dict(zip(("reconstruction", "code", "error"), values, strict=True)) for values in columns]

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return None: only `decode` knows what the model has."""
        return None

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return "new rows, drawn from the distribution of the training rows"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema of a prediction for a row: reconstruction, code and score, or the score alone."""
        facts = Facts.of(self.encoder)
        score = {"type": "number", "description": facts.score}
        if not facts.encodes:
            return score
        code = {"type": "array", "items": {"type": "number"}, "minItems": facts.code, "maxItems": facts.code}
        properties = {"reconstruction": restored_schema(self.encoder), "code": code, "error": score}
        return {"type": "object", "properties": properties, "required": list(properties)}


def parts(encoder: FittedEncoder, outputs: Array) -> tuple[Array, Array, Array]:
    """Return reconstruction, mean of the code, and the logarithm of its variance, which may be empty."""
    features, code = width(encoder), Facts.of(encoder).code
    return outputs[:, :features], outputs[:, features : features + code], outputs[:, features + code : -1]
