"""Overlap of training and test rows: identical or nearly identical rows in both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.validation.findings import near_duplicates
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_COPIES, Finding, Found, join_first, share


class TrainTestOverlap(Finding):
    """Test rows that are known from training make metrics too good."""

    code: ClassVar = "train_test_overlap"
    title: ClassVar = "identical or nearly identical rows in training and test"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Report a split that fails, and test rows that nearly equal a training row."""
        if subject.split_error:
            is_complete = len(subject.frame) == subject.rows
            text = subject.split_error if is_complete else f"a sample cannot be split: {subject.split_error}"
            hint = "remove repeated rows, or change the split"
            yield self.found("critical" if is_complete else "note", "", text, hint)
        keys = near_duplicates.row_hashes(subject) if subject.parts and subject.task.modality == "table" else []
        if not keys or not subject.parts:
            return
        near = _near(keys, subject.parts)
        chance = int(_near(near_duplicates.shuffled_hashes(subject), subject.parts).sum())
        count = int(near.sum())
        if count >= MIN_COPIES and count > MIN_COPIES + 3 * chance:
            rows = subject.row_numbers(subject.parts["test"][near])
            text = f"{share(count, len(near))} test rows nearly equal a training row: rows {join_first(rows)}; "
            hint = "keep one of each pair, so that no test row is known from training"
            yield self.found("warning", "", f"{text}expected {chance} by chance", hint)


def _near(keys: list[Array], parts: dict[str, Array]) -> Array:
    near = np.any([np.isin(key[parts["test"]], key[parts["train"]]) for key in keys], axis=0)
    return np.asarray(near)
