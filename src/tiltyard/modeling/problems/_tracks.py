"""How well tracks of a clip match the true ones: identity counts (IDF1) and CLEAR counts (MOTA), frame by frame.

Two boxes match if they overlap by one half and have the same label.

IDF1 (Ristani et al. 2016) matches whole tracks, each true one with one found at most, so that most boxes agree. MOTA
(Bernardin and Stiefelhagen 2008) matches boxes in each frame, keeps matches from the frame before where they still
overlap, and counts a switch when a true track is matched with another found one than before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems._assignment import assign
from tiltyard.modeling.problems._boxes import pairs

OVERLAP = 0.5  # from which two boxes match
COUNTS = ("objects", "found", "identified", "missed", "wrong", "switches")
Frame = tuple[Array, Array, Array]  # numbers of tracks, labels, and boxes


def count(truth: Sequence[Frame], found: Sequence[Frame]) -> Array:
    """Return the counts of each frame of one clip: (frames, counts)."""
    overlaps = [_overlaps(own, other) for own, other in zip(truth, found, strict=True)]
    matches = [overlap > 0 for overlap in overlaps]
    counts = np.zeros((len(truth), len(COUNTS)))
    identity, last = _identities(truth, found, matches), dict[float, float]()
    for frame, ((tracks, _, _), (numbers, _, _), overlap) in enumerate(zip(truth, found, overlaps, strict=True)):
        same = np.array([[identity.get(track) == number for number in numbers] for track in tracks.tolist()])
        identified = int(((overlap > 0) & same).sum()) if overlap.size else 0
        current = _matched(tracks, numbers, overlap, last)
        switches = sum(last.get(track, number) != number for track, number in current.items())
        last |= current
        missed, wrong = len(tracks) - len(current), len(numbers) - len(current)
        counts[frame] = len(tracks), len(numbers), identified, missed, wrong, switches
    return counts


def _overlaps(own: Frame, other: Frame) -> Array:
    """Return the overlap of each pair of boxes of a frame that match; 0 for others."""
    (_, labels, boxes), (_, other_labels, others) = own, other
    overlaps = pairs(boxes, others)
    return np.where((overlaps >= OVERLAP) & (labels[:, None] == other_labels[None]), overlaps, 0.0)


def _identities(truth: Sequence[Frame], found: Sequence[Frame], matches: Sequence[Array]) -> dict[float, float]:
    """Return for true tracks the found one that agrees in the most frames, if each is used once."""
    own = sorted({track for tracks, *_ in truth for track in tracks.tolist()})
    others = sorted({number for numbers, *_ in found for number in numbers.tolist()})
    if not own or not others:
        return {}
    agree = np.zeros((len(own), len(others)))
    for (tracks, *_), (numbers, *_), match in zip(truth, found, matches, strict=True):
        agree[np.ix_(np.searchsorted(own, tracks), np.searchsorted(others, numbers))] += match
    pairs_of = zip(*(index.tolist() for index in assign(-agree)), strict=True)
    return {own[row]: others[column] for row, column in pairs_of if agree[row, column]}


def _matched(tracks: Array, numbers: Array, overlaps: Array, last: dict[float, float]) -> dict[float, float]:
    """Return the found track of each true one in a frame: that of before if it still overlaps, else the best."""
    if not overlaps.size:
        return {}
    before = np.array([[last.get(track) == number for number in numbers] for track in tracks.tolist()])
    gain = overlaps + 10.0 * (before & (overlaps > 0))  # more than any overlaps of other pairs gain
    chosen = zip(*(index.tolist() for index in assign(-gain)), strict=True)
    return {float(tracks[row]): float(numbers[column]) for row, column in chosen if overlaps[row, column] > 0}
