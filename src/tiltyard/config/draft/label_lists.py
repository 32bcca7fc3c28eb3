"""Cells of a target that hold several labels each: Action|Comedy, or a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tiltyard.arrays import is_missing
from tiltyard.errors import format_value
from tiltyard.modeling.columns._label_cells import labels_of

SEPARATORS = ("|", ";", ",")
MIN_LISTS = 0.1  # share of the rows with several labels in one cell
MOST_PARTS = 0.7  # of the number of different cells: labels recur in other combinations
FEW_PARTS = 0.3  # as few parts are labels even if none of them is alone in a cell
MIN_ALONE = 2  # labels that are alone in some cell


@dataclass(frozen=True)
class LabelLists:
    """How cells hold several labels, and the most frequent one with several."""

    separator: str | None  # None if they are lists
    example: str

    @property
    def described(self) -> str:
        """What stands between two labels, in words."""
        return "in a list" if self.separator is None else f"separated by {format_value(self.separator)}"


def find_lists(cells: Iterable[object], named: str | None = None, *, asked: bool = False) -> LabelLists | None:
    """Return how cells hold several labels; None if they hold one each, or if it is not sure and nobody asked.

    `named` is the separator that the user named.
    """
    counts = Counter(str(cell) for cell in cells if not is_missing(cell))
    for separator in (None, *SEPARATORS) if named is None else (named,):
        several = [cell for cell in counts if len(labels_of(cell, separator)) > 1]
        if several and (asked or _are_lists(counts, several, separator)):
            return LabelLists(separator, max(several, key=counts.__getitem__))
    return None


def _are_lists(counts: Counter[str], several: list[str], separator: str | None) -> bool:
    """Return whether cells hold labels: enough cells hold several, and the parts recur."""
    if separator is None:
        return all(cell.strip().startswith("[") for cell in counts)
    parts = {label for cell in counts for label in labels_of(cell, separator)}
    alone = sum(part in counts for part in parts)
    recurring = len(parts) < MOST_PARTS * len(counts) and (alone >= MIN_ALONE or len(parts) < FEW_PARTS * len(counts))
    return recurring and sum(counts[cell] for cell in several) >= MIN_LISTS * counts.total()
