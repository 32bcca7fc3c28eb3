"""Predictions for the sealed test rows: outputs of model and baseline with the truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import Threshold

ARRAYS = ("truth", "outputs", "baseline", "number")


@dataclass(frozen=True)
class Predictions:
    """Outputs of model and baseline, with truth and row numbers in the raw data."""

    truth: Array
    outputs: Array
    baseline: Array
    number: Array
    classes: list[str] = field(default_factory=list)
    target: str = ""  # its name and unit, for axes of plots
    threshold: Threshold | None = None  # by which the model decides on a label, or on each of several

    @classmethod
    def load(cls, path: Path, classes: list[str], target: str) -> Predictions:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            threshold = arrays["threshold"].tolist() if "threshold" in arrays else None
            stored = {name: arrays[name] for name in ARRAYS}
            return cls(**stored, classes=classes, threshold=threshold, target=target)

    def save(self, path: Path) -> None:
        """Write the arrays; NumPy's zip has no timestamps, so the same predictions give the same bytes."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        if self.threshold is not None:
            arrays["threshold"] = np.array(self.threshold)
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
