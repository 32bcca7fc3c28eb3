"""Derived features of a table: named operations on number columns, computed inside the model's graph.

One function computes them for NumPy, which fits them and the references, and for Keras, whose graph is trained,
exported and served. So training and serving run the same code, and a client sends no derived value. All operations are
defined for all numbers, and their results are bounded.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array, Fitted
from tiltyard.settings import Settings

LARGEST = 1e30  # of a result, so that float32 holds it
SMALLEST = 1e-30  # a smaller denominator counts as 0; some processors round the smallest numbers of float32 to 0
MAX_COLUMNS, MAX_EDGES = 8, 100
OPERANDS = {"ratio": (2, 2), "difference": (2, 2), "product": (2, MAX_COLUMNS)}  # all others take one


class Derived(Settings):
    """A feature that is computed from number columns."""

    op: Literal["ratio", "difference", "product", "power", "bins", "min_max", "log"] = Field(
        description="ratio and difference: the first column by, or less, the second; power: to the `exponent`; bins: "
        "how many edges a value reaches; min_max: 0 to 1 on the training rows; log: log(1 + value), 0 below 0."
    )
    of: list[str] = Field(min_length=1, max_length=MAX_COLUMNS, description="Number columns, in order.")
    exponent: float | None = Field(
        None, ge=-10, le=10, description="For power; other exponents than 1, 2, 3, ... give 0 for values of 0 and less."
    )
    edges: list[float] | None = Field(
        None, min_length=1, max_length=MAX_EDGES, description="For bins: the lowest value of each bin but the first."
    )
    count: int | None = Field(
        None, ge=2, le=MAX_EDGES + 1, description="For bins: so many, with about as many training rows in each."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Derived:
        low, high = OPERANDS.get(self.op, (1, 1))
        if not low <= len(self.of) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise ValueError(f"of: expected {wanted} columns for {self.op}; received {len(self.of)}")
        if (self.exponent is None) == (self.op == "power"):
            raise ValueError("exponent: expected for power, and only then")
        if self.op != "bins" and (self.edges or self.count):
            raise ValueError(f"edges, count: expected only for bins; received them for {self.op}")
        if self.op == "bins" and (self.edges is None) == (self.count is None):
            raise ValueError("bins: expected either edges or count")
        if self.edges and self.edges != sorted({*self.edges}):
            raise ValueError("edges: expected rising numbers")
        return self

    @property
    def formula(self) -> str:
        """The feature in words, for the schema and the card."""
        first, rest = self.of[0], self.of[1:]
        return {
            "ratio": lambda: f"{first} / {rest[0]}",
            "difference": lambda: f"{first} - {rest[0]}",
            "product": lambda: " * ".join(self.of),
            "power": lambda: f"{first} to the power of {self.exponent:g}",
            "bins": lambda: f"the bin of {first}",
            "min_max": lambda: f"{first}, from 0 to 1 on the training rows",
            "log": lambda: f"log(1 + {first})",
        }[self.op]()

    def fit(self, operands: Array) -> Fitted:
        """Learn what the operation needs from the operands of training rows: the ends, or the edges of bins."""
        values = operands[:, 0].astype(np.float64)
        if self.op == "min_max":
            return {"low": float(values.min()), "high": float(values.max())}
        if self.count:
            edges = np.quantile(values, np.arange(1, self.count) / self.count)
            return {"edges": np.unique(edges).tolist()}
        return {"edges": self.edges} if self.edges else {}

    def values(self, operands: list[Any], fitted: Fitted, ops: Any = np) -> Any:
        """Compute the feature; `ops` are the functions of NumPy or of Keras, which have the same names."""
        first = operands[0]
        if self.op == "ratio":
            result = _ratio(first, operands[1], ops)
        elif self.op == "difference":
            result = first - operands[1]
        elif self.op == "product":
            result = _product(operands, ops)
        elif self.op == "power":
            result = _power(first, self.exponent or 0.0, ops)
        elif self.op == "bins":
            result = sum(ops.where(first >= edge, 1.0, 0.0) for edge in fitted["edges"])
        elif self.op == "min_max":
            result = (first - fitted["low"]) / ((fitted["high"] - fitted["low"]) or 1.0)
        else:
            result = ops.log(ops.maximum(first, 0.0) + 1.0)  # log1p has no operator in ONNX
        return ops.clip(result, -LARGEST, LARGEST)


def _ratio(first: Any, second: Any, ops: Any) -> Any:
    """Divide; a denominator of 0 gives 0, since requests with it are valid and the network needs a finite value."""
    is_zero = ops.absolute(second) < SMALLEST
    return ops.where(is_zero, 0.0, first / ops.where(is_zero, 1.0, second))


def _product(factors: list[Any], ops: Any) -> Any:
    """Multiply step by step within the bound, so that infinity times 0 cannot occur."""
    result = factors[0]
    for factor in factors[1:]:
        result = ops.clip(result, -LARGEST, LARGEST) * factor
    return result


def _power(base: Any, exponent: float, ops: Any) -> Any:
    if exponent >= 1 and exponent == int(exponent):
        return _product([base] * int(exponent), ops)
    is_positive = base > SMALLEST
    return ops.where(is_positive, ops.power(ops.where(is_positive, base, 1.0), exponent), 0.0)
