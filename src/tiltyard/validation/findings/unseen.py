"""Unseen categories: names that are not in the training rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Found, Severity, join_first, share
from tiltyard.validation.findings.wrong_types import WrongTypes

WARNING_SHARE = 0.01  # of the new rows


class Unseen(WrongTypes):
    """The service refuses unseen categories, or treats all of them as one if the column has a bucket."""

    code: ClassVar = "unseen"
    title: ClassVar = "categories that are new"
    refusals: ClassVar = {"unseen"}

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count refused names; in new data also names that training rows lack."""
        yield from super().detect(subject)
        if subject.reference is None:
            return
        for name, column in subject.columns.items():
            old = subject.reference.columns.get(name)
            if column.parsed.dtype.kind == "U" and old and not column.refused:
                new = column.present[~np.isin(column.present, old.parsed[subject.reference.train])]
                yield from self._new(name, new, len(column.parsed))

    def _new(self, name: str, new: Array, rows: int) -> Iterator[Found]:
        if not len(new):
            return
        names, counts = np.unique(new, return_counts=True)
        first = [str(category) for category in names[np.argsort(-counts, kind="stable")]]
        text = f"{share(len(new), rows)} rows have names that no training row has: {join_first(first)}"
        severity: Severity = "warning" if len(new) > WARNING_SHARE * rows else "note"
        yield self.found(severity, name, f"{text}; expected none", "train again with rows that have them")

    def advice(self, subject: CheckedData, name: str) -> str:
        """Return what to do."""
        return f"correct the names, add them to columns.{name}.values, or set `unseen: bucket` there"
