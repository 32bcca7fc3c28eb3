"""Regression: predict a number."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.columns.base import scale
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target


class Regression(Problem):
    """One linear output, or an exponential one for counts."""

    losses: ClassVar = {"linear": ("mse", "mae", "huber", "pseudo_huber"), "exponential": ("poisson",)}
    targets: ClassVar = "number"

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit mean and scale of the target; for a logarithm also its range, since the inverse overflows."""
        values = np.log1p(truth) if target.log else truth
        fitted = dict(zip(("mean", "std"), scale(values), strict=True))
        return fitted | ({"log": [float(values.min()), float(values.max()) + 1]} if target.log else {})

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return 1."""
        return 1

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return a number for each instance."""
        values: list[Any] = outputs[:, 0].tolist()
        return values

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return the numbers."""
        return [outputs[:, 0].astype(np.float64)]

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the number `price` (EUR)."""
        return f"the number `{target.column}`{_unit(target)}"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a number."""
        return {"type": "number", "description": f"{target.column} {target.unit}".strip()}


def _unit(target: Target) -> str:
    return f" ({target.unit})" if target.unit else ""
