"""Permutation importance: how much worse the model gets when a column says nothing any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.base import Explained, Explanation
from tiltyard.figures import Figure, bars, largest

TIMES = 5  # a column is shuffled


class Permutation(Explanation):
    """The column's values go to other rows; what the gate's metric loses by that is what they are worth."""

    title: ClassVar = "what each column is worth"

    def reason(self, model: Explained) -> str:
        """Want several columns side by side."""
        return "" if len(model.parts.encoder.spans) > 1 else f"{model.task.name} has one column alone"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """One bar a column, the most important first."""
        found = {name: _lost(model, span) for name, span in model.parts.encoder.spans.items()}
        metric = _inside(model.task.metric.title)
        values, some = largest({n: (float(np.mean(lost)), min(lost), max(lost)) for n, lost in found.items()})
        text = (
            f"How much worse {metric} gets on validation rows when a column's values are "
            f"shuffled; least and most of {TIMES} times. Columns that say the same can stand in for each other.{some}"
        )
        yield bars("Permutation importance", text, f"loss of {metric}", values)


def _inside(title: str) -> str:
    """Spell a title as it stands inside a sentence: abbreviations stay as they are."""
    return title if title[:2].isupper() else title[:1].lower() + title[1:]


def _lost(model: Explained, span: slice) -> list[float]:
    """Return what is lost each time."""
    features, truth = model.known
    before, generator = model.score(features, truth), model.generator
    lost = []
    for _ in range(TIMES):
        mixed: Array = features.copy()
        mixed[..., span] = features[generator.permutation(len(features))][..., span]
        lost.append(model.task.metric.gain(before, model.score(mixed, truth)))
    return lost
