"""Regression: predict a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Fitted
from tiltyard.modeling.columns.base import scale
from tiltyard.modeling.problems.base import FittedEncoder, Problem, Target


class Regression(Problem):
    """One linear output, or one for each of several numbers; an exponential one for counts."""

    losses: ClassVar = {"linear": ("mse", "mae", "huber", "pseudo_huber"), "exponential": ("poisson",)}
    targets: ClassVar = "number"

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = names  # of several numbers; empty if there is one

    def fitted_to(self, target: Fitted) -> Regression:
        """Return the problem with the names of several numbers."""
        return type(self)(target.get("names", ()))

    def fit(self, target: Target, truth: Array) -> Fitted:
        """Fit mean and scale of the target; for a logarithm also its range, since the inverse overflows.

        Of several numbers, there is a list of each.
        """
        if target.columns:
            parts = [self.fit(part, column) for part, column in zip(target.parts, truth.T, strict=True)]
            lists = {key: [part.get(key) for part in parts] for key in ("mean", "std", "log")}
            if not any(lists["log"]):
                lists.pop("log")
            return {**lists, "names": target.names}
        values = np.log1p(truth) if target.log else truth
        fitted = dict(zip(("mean", "std"), scale(values), strict=True))
        return fitted | ({"log": [float(values.min()), float(values.max()) + 1]} if target.log else {})

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return 1, or the number of targets."""
        return len(target.names)

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return a number for each instance, or several by name."""
        if self.names:
            return [dict(zip(self.names, row, strict=True)) for row in outputs.astype(np.float64).tolist()]
        values: list[Any] = outputs[:, 0].tolist()
        return values

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return the numbers."""
        if self.names:
            return [*outputs.astype(np.float64).T]
        return [outputs[:, 0].astype(np.float64)]

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the number `price` (EUR); or: the numbers `width` (cm), `height` (cm)."""
        if target.columns:
            return f"the numbers {', '.join(f'`{part.column}`{_unit(part)}' for part in target.parts)}"
        return f"the number `{target.column}`{_unit(target)}"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema: a number, or an object with a number for each target."""
        if target.columns:
            numbers = {part.column: self.json_schema(part) for part in target.parts}
            return {"type": "object", "properties": numbers, "required": [*numbers]}
        return {"type": "number", "description": f"{target.column} {target.unit}".strip()}


def _unit(target: Target) -> str:
    return f" ({target.unit})" if target.unit else ""


def standardised(truth: Array, fitted: Fitted) -> Array:
    """Return numbers as they are learned: their logarithms if the task says so, with mean 0 and deviation 1."""
    mean, std, log = fitted["mean"], fitted["std"], fitted.get("log")
    if "names" in fitted:
        is_log = log_limits(log)[0] if log else np.zeros(len(mean), dtype=bool)
        values = np.where(is_log, np.log1p(np.where(is_log, truth, 0.0)), truth)
        return np.asarray((values - np.array(mean)) / np.array(std))
    return np.asarray(((np.log1p(truth) if log else truth) - mean) / std)


def original(values: Array, fitted: Fitted) -> Array:
    """Return learned numbers in the units of the targets, the opposite of `standardised`."""
    mean, std, log = fitted["mean"], fitted["std"], fitted.get("log")
    if "names" in fitted:
        values = values * np.array(std) + np.array(mean)
        if not log:
            return values
        is_log, low, high = log_limits(log)
        return np.where(is_log, np.expm1(np.clip(values, low, high)), values)
    values = values * std + mean
    return np.asarray(np.expm1(np.clip(values, *log)) if log else values)


def log_limits(log: Sequence[Sequence[float] | None]) -> tuple[Array, Array, Array]:
    """Return which of several numbers are learned by their logarithm, and the ends of each logarithm; 0 for others."""
    ends = np.array([limits or (0.0, 0.0) for limits in log], dtype=np.float64)
    return np.array([limits is not None for limits in log]), ends[:, 0], ends[:, 1]
