"""Measures of tracks from the counts of frames: IDF1, MOTA and switches of identity."""

from __future__ import annotations

from tiltyard.arrays import Array
from tiltyard.modeling.problems._tracks import COUNTS


def idf1(counts: Array) -> float:
    """Return the F1 of boxes whose identity is right."""
    objects, found, identified, *_ = counts.reshape(-1, len(COUNTS)).sum(axis=0)
    return float(2 * identified / (objects + found)) if objects + found else 0.0


def mota(counts: Array) -> float:
    """Return 1 minus the missed and wrong boxes and the switches as a share of the objects; it may be negative."""
    objects, _, _, missed, wrong, switches = counts.reshape(-1, len(COUNTS)).sum(axis=0)
    return float(1 - (missed + wrong + switches) / objects) if objects else 0.0


def switches(counts: Array) -> float:
    """Return the switches of identity for 100 objects."""
    objects, *_, changed = counts.reshape(-1, len(COUNTS)).sum(axis=0)
    return float(100 * changed / objects) if objects else 0.0
