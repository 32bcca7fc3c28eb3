"""Permutation importance: how much the metric drops when a column is shuffled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure, bars, largest_bars

REPETITIONS = 5


class Permutation(ExplanationMethod):
    """Shuffle each column between validation rows, and measure the loss of the gate's metric."""

    title: ClassVar = "permutation importance of each column"
    explains_rows: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require several columns."""
        return "" if len(model.data.encoder.spans) > 1 else f"{model.task.name} has only one column"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield one bar for each column, the most important first."""
        losses = {name: _losses(model, span) for name, span in model.data.encoder.spans.items()}
        metric = _lower_first(model.metric.title)
        values, omitted = largest_bars(
            {n: (float(np.mean(decreases)), min(decreases), max(decreases)) for n, decreases in losses.items()}
        )
        text = (
            f"How much worse {metric} gets on validation rows when a column's values are shuffled; "
            f"minimum and maximum of {REPETITIONS} repetitions. Correlated columns can replace each other.{omitted}"
        )
        yield bars("Permutation importance", text, f"loss of {metric}", values)


def _lower_first(title: str) -> str:
    """Return a title as it stands inside a sentence; abbreviations stay in capitals."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _losses(model: ExplainedModel, span: slice) -> list[float]:
    """Return the loss of each repetition."""
    features, truth = model.validation
    original, generator = model.score(features, truth), model.generator
    decreases = []
    for _ in range(REPETITIONS):
        shuffled: Array = features.copy()
        shuffled[..., span] = features[generator.permutation(len(features))][..., span]
        decreases.append(model.metric.gain(original, model.score(shuffled, truth)))
    return decreases
