"""The type of a column: one implementation for training and for serving of how its values are read and encoded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from tiltyard.expectation import Expectation
from tiltyard.strict import Strict

Array = np.ndarray[Any, np.dtype[Any]]
Rows = dict[str, Array]  # rows held by column: every array has the same length
Fitted = dict[str, Any]  # what a column learned from the training rows, as JSON


def count(rows: Rows) -> int:
    """Say how many rows there are."""
    return len(next(iter(rows.values())))


def take(rows: Rows, index: Array) -> Rows:
    """Give the rows at these places."""
    return {name: values[index] for name, values in rows.items()}


class Column(Strict):
    """One column of a task file; plug-ins in columns/ say what each type means."""

    type: str

    @abstractmethod
    def expectations(self, name: str) -> list[Expectation]:
        """Say what validation may expect of the raw values (or, for images, of their facts)."""

    @abstractmethod
    def parse(self, values: Sequence[object], name: str) -> Array:
        """Read values that came as JSON, one an instance; refuse with a RequestError that names the field."""

    @abstractmethod
    def fit(self, values: Array) -> Fitted:
        """Learn from the training rows what encoding needs."""

    @abstractmethod
    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Turn parsed values into float32, the first axis being rows."""

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """Describe one value to a REST client."""

    @abstractmethod
    def to_json(self, values: Array) -> list[Any]:
        """Turn parsed values back into what a client would send."""
