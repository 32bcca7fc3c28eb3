"""Near-duplicate rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.validation.findings import _row_hashes
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_COPIES, Finding, Found, join_first, share


class NearDuplicates(Finding):
    """An observation recorded twice with different rounding gets twice the weight."""

    code: ClassVar = "near_duplicates"
    title: ClassVar = "rows that are nearly the same"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare rounded rows with the number of matches by chance; exact duplicates are another finding."""
        keys = _row_hashes.row_hashes(subject) if subject.task.modality == "table" else []
        if not keys or subject.hashes is None:
            return
        exact = _row_hashes.repeated(subject.hashes[0])[subject.frame.index.to_numpy()]
        near = np.any([_row_hashes.repeated(key) for key in keys], axis=0) & ~exact
        count = int(near.sum())
        if count < MIN_COPIES:
            return
        chance = int(np.any([_row_hashes.repeated(key) for key in _row_hashes.shuffled_hashes(subject)], axis=0).sum())
        if count > MIN_COPIES + 3 * chance:
            rows = subject.row_numbers(np.flatnonzero(near))
            text = f"{share(count, len(near))} rows nearly equal another one, such as rows {join_first(rows)}; "
            hint = "if they are one observation recorded twice, keep one of each"
            yield self.found("warning", "", f"{text}expected {chance} by chance", hint)
