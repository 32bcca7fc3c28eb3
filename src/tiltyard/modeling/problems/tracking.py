"""Tracking: the objects in the frames of a clip, each with a number that it keeps from frame to frame.

A row is a frame; the frames of a clip follow one another, and the instances of a request are the frames of one clip.
The network detects objects in each frame; the numbers are assigned afterwards. What metrics see has one more place for
each row than that of detection, with its counts of `_tracks`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.errors import RequestError
from tiltyard.modeling.problems import _tracker, _tracks
from tiltyard.modeling.problems.base import FittedEncoder, Run, Target
from tiltyard.modeling.problems.detection import ANSWERED, BOX, LABEL, SCORE, Detection, found_objects

TRACK, CLIP = 5, 6  # columns of the truth


class Tracking(Detection):
    """Detection in each frame, then assignment from frame to frame."""

    def condense(self, encoder: FittedEncoder, truth: Array, outputs: Array) -> Array:
        """Return the best detections of each frame, and a place for its counts."""
        condensed = super().condense(encoder, truth, outputs)
        return np.concatenate([condensed, np.zeros_like(condensed[:, :1])], axis=1)

    def gathered(self, truth: Array, condensed: Array) -> Array:
        """Return them with the counts of each frame, for which all frames of a clip are needed, in order."""
        return with_counts(truth, condensed)

    def of_single_rows(self, condensed: Array) -> Array:
        """Return the detections without the counts of frames, which depend on the frames before."""
        return condensed[:, :-1]

    def respond(self, encoder: FittedEncoder, run: Run, rows: Rows) -> list[Any]:
        """Return the objects of each frame of a clip, with their numbers."""
        outputs = run(rows)
        if not np.isfinite(outputs).all():
            raise RequestError("out_of_bounds", "the values are too large for the model", "instances[0]")
        return self.decode(outputs, encoder.classes)

    def decode(self, outputs: Array, classes: list[str]) -> list[Any]:
        """Return the objects of each frame; the rows are the frames of one clip, in order."""
        found = found_objects(outputs, self.size).astype(np.float64)
        frames = [one[one[:, SCORE] >= self.least_score] for one in found]
        numbers = _tracker.numbered([(one[:, LABEL], one[:, BOX]) for one in frames])
        answers = super().decode(outputs, classes)
        for answer, own in zip(answers, numbers, strict=True):
            answer["objects"] = [
                {**described, "id": number} for described, number in zip(answer["objects"], own.tolist(), strict=True)
            ]
        return answers

    def more_properties(self) -> dict[str, Any]:
        """Return the schema of the number of an object."""
        return {"id": {"type": "integer", "minimum": 1, "description": "the same for an object in all frames"}}

    def purpose(self, target: Target) -> str:
        """Return a phrase for the model card."""
        return f"{super().purpose(target)}; instances are the frames of one clip, in which an object keeps its id"


def with_counts(truth: Array, condensed: Array) -> Array:
    """Return condensed outputs with the counts of `_tracks` of each frame in the last place."""
    gathered, clips = condensed.copy(), truth[:, 0, CLIP].astype(np.int64)
    for start, stop in _clips(clips):
        own = slice(start, stop)
        found = [one[one[:, ANSWERED] > 0] for one in condensed[own, :-1].astype(np.float64)]
        numbers = _tracker.numbered([(one[:, LABEL], one[:, BOX]) for one in found])
        frames = [(number, one[:, LABEL], one[:, BOX]) for number, one in zip(numbers, found, strict=True)]
        there = [one[one[:, 0] >= 0].astype(np.float64) for one in truth[own]]
        counts = _tracks.count([(one[:, TRACK], one[:, 0], one[:, 1:5]) for one in there], frames)
        gathered[own, -1, : counts.shape[1]] = counts
    return gathered


def _clips(clips: Array) -> list[tuple[int, int]]:
    """Return where each clip begins and ends."""
    borders = [0, *(np.flatnonzero(np.diff(clips)) + 1).tolist(), len(clips)]
    return [*itertools.pairwise(borders)] if len(clips) else []
