"""Reconstruction: return the row itself, from a code of few numbers; there is no target.

The outputs of the ONNX model are, side by side: the standardised features of the row as the network reconstructs them,
the code, and the error: the mean squared difference from the features. Metrics use the error alone.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target

MAX_NUMBERS = 1 << 22  # of a response


class Reconstruction(Problem):
    """One output for each encoded feature."""

    losses: ClassVar = {"linear": ("mse", "mae", "huber"), "sigmoid": ("binary_crossentropy", "mse")}
    targets: ClassVar = "row"
    reconstructs: ClassVar = True

    def __init__(self, encoder: FittedEncoder | None = None) -> None:
        self._encoder = encoder

    def bound_to(self, encoder: FittedEncoder) -> Problem:
        """Return the problem with the columns, by which it converts features back to values."""
        return type(self)(encoder)

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit for each encoded feature."""
        return width(encoder)

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the error of each row."""
        return outputs[:, -1:]

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the reconstruction as an instance, the code, and the error."""
        encoder = self.encoder
        parts, code, error = _split(outputs, width(encoder))
        rows = encoder.joined(restored(encoder, parts))
        columns = zip(rows, code.tolist(), error.tolist(), strict=True)
        return [dict(zip(("reconstruction", "code", "error"), row, strict=True)) for row in columns]

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return images, codes and errors; None for a table, whose columns have different types."""
        if not self.encoder.bare:
            return None
        parts, code, error = _split(outputs, width(self.encoder))
        return [_unscaled(self.encoder, parts), code, error]

    def rebuilt(self, features: Array, outputs: Array) -> Array:
        """Return the standardised features as the network reconstructs them, from rows and the outputs for them."""
        return outputs[:, : width(self.encoder)]

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return "its input again, as far as a code of few numbers holds it, with the code and the error"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: an instance, a list of numbers, and a number."""
        encoder = self.encoder
        code = {"type": "array", "items": {"type": "number"}, "minItems": encoder.target["code"]}
        error = {"type": "number", "minimum": 0, "description": "mean squared error of the standardised features"}
        properties = {
            "reconstruction": restored_schema(encoder),
            "code": {**code, "maxItems": encoder.target["code"]},
            "error": error,
        }
        return {"type": "object", "properties": properties, "required": list(properties)}

    @property
    def encoder(self) -> FittedEncoder:
        """The encoder that it is bound to."""
        if self._encoder is None:
            raise DataError("a reconstruction needs an encoder, which has the columns")
        return self._encoder


def width(encoder: FittedEncoder) -> int:
    """Return the number of encoded features of a row."""
    steps = _steps(encoder)
    sizes = [math.prod(column.feature_shape(encoder.fitted[name])) for name, column in encoder.columns.items()]
    return steps * sum(sizes)


def standardised(encoder: FittedEncoder, features: Array) -> Array:
    """Return encoded features in the units in which they are reconstructed, flat."""
    mean, std = _scaling(encoder)
    flat = features.reshape(len(features), -1).astype(np.float32)
    return np.asarray((flat - mean) / std, dtype=np.float32)


def restored(encoder: FittedEncoder, parts: Array) -> dict[str, list[Any]]:
    """Return the values of each column, as a client would send them, from standardised features."""
    features, values, start = _unscaled(encoder, parts), {}, 0
    if (steps := _steps(encoder)) > 1:
        by_step = features.reshape(len(features), steps, -1)
        series = zip(encoder.columns.items(), np.moveaxis(by_step, 2, 0), strict=True)
        return {name: column.restore(windows, encoder.fitted[name]) for (name, column), windows in series}
    for name, column in encoder.columns.items():
        end = start + math.prod(column.feature_shape(encoder.fitted[name]))
        values[name] = column.restore(features[:, start:end], encoder.fitted[name])
        start = end
    return values


def restored_schema(encoder: FittedEncoder) -> dict[str, Any]:
    """Return the JSON Schema of a reconstructed instance."""
    schemas = {name: column.restored_schema() for name, column in encoder.columns.items()}
    if encoder.bare:
        return next(iter(schemas.values()))
    return {"type": "object", "properties": schemas, "required": list(schemas)}


def _split(outputs: Array, features: int) -> tuple[Array, Array, Array]:
    """Return reconstruction, code and error."""
    numbers = outputs.astype(np.float64)
    return numbers[:, :features], numbers[:, features:-1], numbers[:, -1]


def _unscaled(encoder: FittedEncoder, parts: Array) -> Array:
    mean, std = _scaling(encoder)
    return np.asarray(parts * std + mean)


def _scaling(encoder: FittedEncoder) -> tuple[Array, Array]:
    """Return mean and standard deviation of the features; an image has one of each."""
    scales = [scale for name, column in encoder.columns.items() for scale in column.scaling(encoder.fitted[name])]
    mean, std = np.tile(np.array(scales, dtype=np.float64), (_steps(encoder), 1)).T  # steps of series one after another
    return mean, std


def _steps(encoder: FittedEncoder) -> int:
    """Return how many steps a row of series has; 1 for other rows."""
    return getattr(next(iter(encoder.columns.values())), "window", 1)
