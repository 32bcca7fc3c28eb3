"""Boxes with three numbers to predict: one plain, one skewed, one small and negative."""

from __future__ import annotations

import numpy as np
import pandas as pd

NAMES = ["area", "cost", "label"]  # a name that predictions of labels use as a key is a name like any other


def boxes(rows: int = 300) -> pd.DataFrame:
    """Return the table; each target depends on side and load, with noise."""
    dice = np.random.default_rng(0)
    side, load = dice.uniform(1, 6, rows).round(2), dice.normal(0, 30, rows).round(1)
    noise = dice.normal(size=(rows, 3))
    words = np.where(side > 3.5, "large", "small")
    return pd.DataFrame(
        {
            "side": side,
            "load": load,
            "note": [f"a {word} box number {place}" for place, word in enumerate(words)],
            "area": (side**2 + 5 * noise[:, 0]).round(3),
            "cost": np.exp(1 + 0.6 * side + noise[:, 1]).round(1),
            "label": (-1e-4 * load + 1e-3 * noise[:, 2]).round(6),
        }
    )
