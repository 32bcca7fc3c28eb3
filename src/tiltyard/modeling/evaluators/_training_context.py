"""What metrics need to know of the training rows."""

from __future__ import annotations

from pathlib import Path

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.evaluators.forecasting import LEAST
from tiltyard.modeling.metrics.base import Context


def training_context(evaluator: Evaluator, prepared: Path, truth: Array) -> Context:
    """Return the context of metrics; `truth` is that of the training rows, `prepared` the folder with all parts.

    Training rows of several series alternate between these, so `prepare` has recorded the error of the naive forecast.
    """
    context = evaluator.context(truth)
    naive = files.read_json(prepared / "split.json").get("naive_mae")
    return {**context, "naive_mae": naive} if naive and naive > LEAST and "naive_mae" in context else context
