"""Evaluation of translation: exact matches and edit distance, with the most frequent text as the baseline."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows, row_count
from tiltyard.figures import Figure, histogram
from tiltyard.modeling.evaluators.base import TRUTH, Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.translation import judged

MAX_WORST = 10


def _exact_match(_: Array, judged: Array, __: Context) -> float:
    return float(judged["exact"].mean())


def _error_rate(_: Array, judged: Array, __: Context) -> float:
    return float(judged["edits"].sum() / max(judged["length"].sum(), 1.0))


METRICS: dict[str, Metric] = {
    "exact": Metric(
        "Exact match (whole texts)",
        _exact_match,
        higher_is_better=True,
        meaning="the share of rows whose predicted text equals the true text",
        bounds=(0, 1),
    ),
    "error_rate": Metric(
        "Token error rate (edits per step of the truth)",
        _error_rate,
        higher_is_better=False,
        meaning="the number of edits from predicted to true texts, divided by the tokens of the true texts",
        bounds=(0, math.inf),
    ),
}


class Translation(Evaluator):
    """The baseline always predicts the same text."""

    metrics = METRICS
    baseline_title: ClassVar = "the most frequent text of the training rows"

    def judge(self, predicted: list[str], truth: Array) -> Array:
        """Compare texts by characters."""
        return judged(predicted, truth, "characters")

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return the most frequent training text for every row."""
        values, counts = np.unique(train, return_counts=True)
        return self.judge([str(values[counts.argmax()])] * row_count(rows), rows[TRUTH])

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the wrong texts, those with the most edits first."""
        outputs, truth = predictions.outputs, predictions.truth
        worst = [index for index in np.argsort(-outputs["edits"], kind="stable") if not outputs["exact"][index]]
        return {
            "worst": [
                {
                    "row": int(predictions.number[index]),
                    "actual": str(truth[index]),
                    "predicted": str(outputs["text"][index]),
                    "edits": int(outputs["edits"][index]),
                }
                for index in worst[:MAX_WORST]
            ]
        }

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return the number of rows by edit distance."""
        edits = predictions.outputs["edits"].astype(np.int64)
        return {"edits": {"row": predictions.number.tolist(), "edits": edits.tolist()}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return a histogram of the edit distance."""
        samples = {
            name: outputs["edits"]
            for name, outputs in (("model", predictions.outputs), ("baseline", predictions.baseline))
        }
        return [histogram("Edits", "Insertions, deletions and substitutions between predicted and true text.", samples)]
