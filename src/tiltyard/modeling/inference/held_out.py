"""Outputs of cross-validation for held-out rows, written by training and measured by evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array


@dataclass(frozen=True)
class HeldOut:
    """One fold: truth and outputs of the held-out rows, and the truth of the training rows."""

    truth: Array
    outputs: Array
    known: Array


def save(path: Path, folds: Sequence[HeldOut]) -> None:
    """Write all folds; NumPy's zip has no timestamps, so the same outputs give the same bytes."""
    arrays = {f"{name}-{number}": array for number, fold in enumerate(folds) for name, array in asdict(fold).items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load(path: Path) -> list[HeldOut]:
    """Read what `save` wrote."""
    folds: list[HeldOut] = []
    with np.load(path, allow_pickle=False) as arrays:
        for number in count():
            if f"truth-{number}" not in arrays:
                return folds
            folds.append(HeldOut(*(arrays[f"{name}-{number}"] for name in ("truth", "outputs", "known"))))
    return folds
