"""The tracker: numbers for detections, frame by frame, with a constant velocity between frames (as SORT does).

In each frame the known tracks move on; detections are assigned to them by the lowest total cost, if they lie within a
gate; others begin a track. A track that is not seen for some frames ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.problems._assignment import assign
from tiltyard.modeling.problems._boxes import pairs

GATE = 1.0  # distance of middles from which a detection is another object, in mean sides of the track's box
MAX_UNSEEN = 4  # frames
SMOOTHING = 0.5  # weight of the newest step in the velocity
LABEL_COST = 0.5  # of another label than the track's, in sides: a crossing changes scores for a frame


@dataclass
class Track:
    """An object that was seen: its number, label, box, and velocity of the middle in pixels per frame."""

    number: int
    label: int
    box: Array
    velocity: Array
    unseen: int = 0
    seen: int = 1

    def move(self) -> None:
        """Go on to the next frame."""
        self.box = self.box + np.tile(self.velocity, 2)
        self.unseen += 1

    def update(self, label: int, box: Array) -> None:
        """Take a detection of this frame."""
        step = (_middle(box) - _middle(self.box)) / self.unseen + self.velocity
        weight = SMOOTHING if self.seen > 1 else 1.0
        self.velocity = (1 - weight) * self.velocity + weight * step
        self.box, self.unseen, self.seen = box, 0, self.seen + 1
        self.label = label


def numbered(frames: list[tuple[Array, Array]]) -> Iterator[Array]:
    """Yield the numbers of the detections of each frame, given their labels and boxes."""
    tracks, following = list[Track](), 1
    for labels, boxes in frames:
        for track in tracks:
            track.move()
        numbers = np.zeros(len(labels), dtype=np.int64)
        for place, detection in _assigned(tracks, labels, boxes):
            tracks[place].update(int(labels[detection]), boxes[detection])
            numbers[detection] = tracks[place].number
        for detection in np.flatnonzero(numbers == 0).tolist():
            tracks.append(Track(following, int(labels[detection]), boxes[detection], np.zeros(2)))
            numbers[detection] = following
            following += 1
        tracks = [track for track in tracks if track.unseen <= MAX_UNSEEN]
        yield numbers


def _assigned(tracks: list[Track], labels: Array, boxes: Array) -> list[tuple[int, int]]:
    """Return the places of tracks and of detections that belong together."""
    if not tracks or not len(labels):
        return []
    known = np.stack([track.box for track in tracks])
    away = np.linalg.norm(_middle(known)[:, None] - _middle(boxes)[None], axis=-1)
    sides = np.maximum((known[:, 2:] - known[:, :2]).mean(axis=1), 1)[:, None]
    own = np.array([track.label for track in tracks])
    cost = away / sides + LABEL_COST * (own[:, None] != labels[None]) + 0.5 * (1 - pairs(known, boxes))
    near = away <= GATE * sides
    chosen = zip(*(index.tolist() for index in assign(np.where(near, cost, 1e3))), strict=True)
    return [(track, detection) for track, detection in chosen if near[track, detection]]


def _middle(boxes: Array) -> Array:
    return np.asarray((boxes[..., :2] + boxes[..., 2:]) / 2)
