"""Class imbalance, and classes that are too small to train and test."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, join_first, share

MAX_RATIO = 10  # of the largest class to the smallest
MIN_TEST_ROWS = 5  # of a class; with fewer rows its recall is unreliable


class Imbalance(Finding):
    """A model that never predicts a rare class can still have a high accuracy."""

    code: ClassVar = "imbalance"
    title: ClassVar = "class imbalance and classes that are too small"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count rows by class."""
        if subject.label_sets is not None:
            every = Counter(label for labels in subject.label_sets for label in labels)
            yield from self._small(subject, {label: every[label] for label in subject.task.labels})
        if subject.truth is None or not subject.task.classes:
            return
        labels = subject.truth.tolist()
        label_counts = Counter(labels)
        counts = {label: label_counts[label] for label in subject.task.classes}
        small = [*self._small(subject, counts)]
        yield from small
        most_frequent, least_frequent = max(counts, key=lambda c: counts[c]), min(counts, key=lambda c: counts[c])
        if small and len(counts) > 2:
            return  # the rarest of several classes is already reported
        if counts[least_frequent] and counts[most_frequent] > MAX_RATIO * counts[least_frequent]:
            ratio = counts[most_frequent] / counts[least_frequent]
            by_accuracy = subject.task.gate.metric == "accuracy"
            yield self.found(
                "warning" if by_accuracy else "note",
                subject.task.target.column,
                f"{most_frequent} is {ratio:.0f} times as frequent as {least_frequent}, "
                f"{share(counts[most_frequent], len(labels))} rows; expected at most {MAX_RATIO} times",
                "set gate.metric to balanced_accuracy" if by_accuracy else "try train.class_weights: balanced",
            )

    def _small(self, subject: CheckedData, counts: dict[str, int]) -> Iterator[Found]:
        """Report the classes with too few test rows in the whole file, the smallest first; counts are of the sample."""
        scale = subject.rows / max(1, len(subject.frame))
        counts = {label: round(count * scale) for label, count in counts.items()}
        min_rows = math.ceil(MIN_TEST_ROWS / subject.task.split.test)
        small = sorted((count, label) for label, count in counts.items() if count < min_rows)
        if small:
            listing = join_first([f"{label} with {count:,} rows" for count, label in small])
            what = "classes" if subject.label_sets is None else "labels"
            text = f"{len(small):,} of {len(counts):,} {what} are small: {listing}; expected at least {min_rows:,}, "
            hint = "collect more of them, or join them with others in the source"
            yield self.found(
                "warning", subject.task.target.column, f"{text}so that {MIN_TEST_ROWS} are test rows", hint
            )
