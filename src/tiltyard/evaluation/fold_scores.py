"""Scores of cross-validation: every metric on the held-out rows of each fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.inference import held_out


def fold_scores(path: Path, evaluator: Evaluator) -> dict[str, Any]:
    """Return mean and standard deviation of every metric over the folds; empty without cross-validation."""
    if not path.is_file():
        return {}
    folds = held_out.load(path)
    scores = [evaluator.scores(fold.truth, fold.outputs, evaluator.context(fold.known)) for fold in folds]
    return {name: _summary([float(score[name]) for score in scores]) for name in evaluator.metrics}


def _summary(values: list[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)), "values": values}
