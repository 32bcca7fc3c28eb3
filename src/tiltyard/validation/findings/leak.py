"""A feature that alone tells the target."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.config.draft.leakage import ALIKE, SURE, leakage_score
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, without

ROWS = 10_000  # enough for a small tree


class Leak(Finding):
    """What knows the answer is not known when the model is asked; a good figure with it is a lie."""

    code: ClassVar = "leak"
    title: ClassVar = "features that alone tell the target"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Try each feature by rank and through a small tree, on rows whose target is known."""
        if subject.truth is None or subject.task.form != "table":
            return
        labels = bool(subject.task.classes)
        known = np.flatnonzero(subject.truth != "" if labels else np.isfinite(subject.truth))
        places = known[:: max(1, len(known) // ROWS)].tolist()
        truth = subject.truth[places].tolist()
        for name, column in subject.columns.items() if len(set(truth)) > 1 else ():
            if column.is_date and not labels:
                continue  # a number may grow with time
            if score := _score([column.cells[place] for place in places], truth, labels=labels):
                target, most = subject.task.target.column, SURE if labels else ALIKE
                text = f"alone it tells {target}, {score:.1%} right; expected below {most:.1%} of a feature"
                hint = f"if it is known only after {target} is, {without(subject, name)}"
                yield self.found("critical", name, text, hint)


def _score(cells: list[object], truth: list[object], *, labels: bool) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class so rare that one half of the rows has none of it
        return leakage_score(cells, truth, labels=labels)
