"""Forecasting: predict the next values of a series from a window of past ones.

Outputs are (rows, steps), or (rows, 3, steps) if each forecast has a lower and an upper bound.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import FittedEncoder, Target
from tiltyard.modeling.problems.regression import Regression

ENDS = ("forecast", "low", "high")


class Forecasting(Regression):
    """One linear output per step."""

    losses: ClassVar = {"linear": Regression.losses["linear"]}

    def units(self, target: Target, output: str, encoder: FittedEncoder) -> int:
        """Return one unit per time step."""
        return target.horizon

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return a number or a list of numbers for each row; with intervals, an object with three lists."""
        if outputs.ndim == 3:
            return [dict(zip(ENDS, row, strict=True)) for row in outputs.astype(np.float64).tolist()]
        forecasts: list[Any] = outputs.astype(np.float64).tolist()
        return [row[0] for row in forecasts] if outputs.shape[1] == 1 else forecasts

    def decode_arrays(self, outputs: Array, classes: list[str]) -> list[Array] | None:
        """Return the forecasts, and with intervals their lower and upper bounds."""
        parts = outputs.astype(np.float64)
        return [*parts.swapaxes(0, 1)] if parts.ndim == 3 else [parts]

    def purpose(self, target: Target) -> str:
        """Return a phrase such as: the next 3 values of `price`."""
        steps, coverage = target.horizon, target.interval
        values = "the next value" if steps == 1 else f"the next {steps} values"
        interval = f", each with a prediction interval of {coverage:.0%}" if coverage else ""
        unit = f" ({target.unit})" if target.unit else ""
        return f"{values} of `{target.column}`{unit}{interval}"

    def json_schema(self, target: Target) -> dict[str, Any]:
        """Return the schema of what `decode` returns."""
        number, steps = super().json_schema(target), target.horizon
        forecasts = {"type": "array", "items": number, "minItems": steps, "maxItems": steps}
        if target.interval:
            return {"type": "object", "properties": dict.fromkeys(ENDS, forecasts), "required": [*ENDS]}
        return number if steps == 1 else forecasts
