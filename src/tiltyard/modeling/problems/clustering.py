"""Clustering: put rows into groups that their features show; labels, if there are any, are for evaluation alone.

The outputs of the ONNX model are, side by side: the membership of the row in each cluster, which add up to 1, and the
mean squared difference of its standardised features from those of the mean row of each cluster.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import DataError
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target

CLUSTERS = "clusters"  # in the fitted target: the training rows and the mean row of each cluster
NAMES = ("cluster", "distance", "memberships")


class Clustering(Problem):
    """Memberships in clusters, and distances to their means."""

    losses: ClassVar = {"linear": ("mse", "mae", "huber"), "sigmoid": ("binary_crossentropy", "mse")}
    targets: ClassVar = "row"
    clusters: ClassVar = True

    def __init__(self, encoder: FittedEncoder | None = None) -> None:
        self._encoder = encoder

    def bound_to(self, encoder: FittedEncoder) -> Problem:
        """Return the problem with the encoder, which has the clusters."""
        return type(self)(encoder)

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return the number of outputs: two for each cluster."""
        return 2 * len(encoder.target[CLUSTERS])

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the cluster, the distance from its mean row, and all memberships."""
        arrays = self.decode_arrays(outputs, classes)
        return [dict(zip(NAMES, row, strict=True)) for row in zip(*(array.tolist() for array in arrays), strict=True)]

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array]:
        """Return clusters, distances and memberships."""
        memberships, squares = split(outputs.astype(np.float64))
        cluster = memberships.argmax(axis=1)
        return [cluster, np.sqrt(squares[np.arange(len(squares)), cluster]), memberships]

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return "a cluster of similar rows, with the distance from its mean row and the membership in each"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a number of a cluster, a distance, and a membership for each cluster."""
        if self._encoder is None:
            raise DataError("clusters need an encoder, which has their number")
        count = len(self._encoder.target[CLUSTERS])
        distance = "root mean squared difference of the standardised features from the mean row of the cluster"
        share = {"type": "number", "minimum": 0, "maximum": 1}
        properties = {
            "cluster": {"type": "integer", "minimum": 0, "maximum": count - 1},
            "distance": {"type": "number", "minimum": 0, "description": distance},
            "memberships": {"type": "array", "items": share, "minItems": count, "maxItems": count},
        }
        return {"type": "object", "properties": properties, "required": list(properties)}


def split(outputs: Array) -> tuple[Array, Array]:
    """Return memberships, and squared differences from the mean rows."""
    count = outputs.shape[1] // 2
    return outputs[:, :count], np.maximum(outputs[:, count:], 0)
