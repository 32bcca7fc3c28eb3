"""Encoding a few rows of a table, number by number: a call of numpy costs as much as twenty steps of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import Plain

MOST = 8  # rows; of more, numpy makes less work
Known = Mapping[tuple[type, object], Sequence[float]]  # the features of a name or code, by its type and itself


class Few:
    """Knows for each column either within what bounds numbers are features as they are, or features by value."""

    def __init__(self, columns: Sequence[Plain | Known]) -> None:
        self.columns = [(one.low, one.high, None) if isinstance(one, Plain) else (0.0, 0.0, one) for one in columns]

    def __call__(self, rows: Sequence[Sequence[Any]]) -> Array | None:
        """Return the features; None if a number is out of its bounds, or a value not known yet."""
        try:
            return np.array([self._row(row) for row in rows], dtype=np.float32)
        except (LookupError, TypeError):
            return None

    def _row(self, values: Sequence[Any]) -> list[float]:
        features: list[float] = []
        for value, (low, high, known) in zip(values, self.columns, strict=True):
            if known is not None:
                features += known[type(value), value]
            elif low <= value <= high:
                features.append(value)
            else:
                raise LookupError
        return features
