"""The smallest model of one's own code, which the family `python` builds in contract tests."""

from __future__ import annotations

from typing import Any


def build(features: Any) -> Any:
    """One hidden layer."""
    from keras import layers

    return layers.Dense(8, activation="tanh")(features)
