"""Classes of very different size, or too small to learn and to test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from tiltyard.finding import Finding, Found, share
from tiltyard.subject import Subject

RATIO = 10  # the largest class over the smallest
FEWEST = 5  # test rows of a class, below which its recall is a matter of luck


class Imbalance(Finding):
    """A model that never answers a rare class looks good by accuracy."""

    code: ClassVar = "imbalance"
    title: ClassVar = "class imbalance and classes that are too small"

    def look(self, subject: Subject) -> Iterator[Found]:
        """Count rows by class."""
        if subject.truth is None or not subject.task.classes:
            return
        labels = subject.truth.tolist()
        counts = {label: labels.count(label) for label in subject.task.classes}
        scale = subject.rows / max(1, len(labels))
        yield from self._small(subject, {label: round(count * scale) for label, count in counts.items()})
        most, least = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
        if counts[least] and counts[most] > RATIO * counts[least]:
            ratio = counts[most] / counts[least]
            fooled = subject.task.gate.metric == "accuracy"
            yield self.found(
                "warning" if fooled else "note",
                subject.task.target.column,
                f"{most} is {ratio:.0f} times as frequent as {least}, {share(counts[most], len(labels))} rows; "
                f"expected at most {RATIO} times",
                "set gate.metric to balanced_accuracy" if fooled else "try train.class_weights: balanced",
            )

    def _small(self, subject: Subject, counts: dict[str, int]) -> Iterator[Found]:
        for label, count in counts.items():
            test = count * subject.task.split.test
            if test < FEWEST:
                text = f"class {label} has {count:,} rows, about {test:.2g} of them to test; expected at least {FEWEST}"
                hint = "collect more of it, join it with another, or take it out of target.classes"
                yield self.found("warning", subject.task.target.column, text, hint)
