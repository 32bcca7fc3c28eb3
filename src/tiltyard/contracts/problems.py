"""Contract of problems: predictions are JSON that fits the published schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import Problem


def leaves(content: Any) -> list[Any]:
    """Return everything in a JSON value that is not a container."""
    if isinstance(content, dict):
        return [leaf for value in content.values() for leaf in leaves(value)]
    return [leaf for value in content for leaf in leaves(value)] if isinstance(content, list) else [content]


def predictions(kind: Problem, outputs: Array, labels: Sequence[str]) -> list[Any]:
    """Return the predictions: plain numbers and text, one for each row."""
    decoded = kind.decode(outputs, [*labels])
    json.dumps(decoded, allow_nan=False)
    assert len(decoded) == len(outputs)
    return decoded
