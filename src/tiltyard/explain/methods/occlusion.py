"""Occlusion: what becomes of the answer when a part of the row cannot be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.heatmap import signed_overlay
from tiltyard.explain.math.masking import WordMask
from tiltyard.explain.methods.base import Explained, Explanation, Row
from tiltyard.figures import Figure, lines, pictures, words

SIDE = 8  # a patch is this part of a picture's side
PLACES = 32  # of a patch, down and across, at most
STEPS = 24  # a window is this part of a series
WINDOWS = 120  # at most
AT_ONCE = 256  # rows that are held at a time


class Occlusion(Explanation):
    """A patch slides over a picture, a window over a series; words are left out one at a time."""

    title: ClassVar = "what the answer loses with each part"

    def reason(self, model: Explained) -> str:
        """Want rows with parts that lie side by side, and answers that are numbers."""
        if model.task.kind.targets == "text":
            return "an answer that is a text has no probability to fall"
        return "the columns of a table are shown by shap and permutation" if model.task.form == "table" else ""

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """One exhibit, by what the row is."""
        focus = ExplainedOutput.on(model.predictor, model.encoded(row))
        yield {"text": _text, "image": _picture, "series": _series}[model.task.form](model, focus, row)


def _text(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    text, what = WordMask.of(model.predictor.encoder, row.values), focus.spelled(model.task.target)
    kept = ~np.eye(len(text.spelled), dtype=bool)
    lost = float(focus(model.encoded(row))[0]) - focus(text.keep(kept))
    said = f"By how much {what} falls when a word is left out; below 0 it rises."
    return words("Each word left out", said, [*zip(text.spelled, lost.tolist(), strict=True)])


def _picture(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    picture, what = model.encoded(row)[0], focus.spelled(model.task.target)
    lost = fallen(focus, picture, float(np.mean(model.parts.encoder.scaling()[0])))
    said = (
        f"A grey patch slides over the picture: where it is red, {what} falls without it, by up to "
        f"{max(float(lost.max()), 0):.2g}; where it is blue, it rises."
    )
    return pictures("A patch that slides", said, {"as it is": picture, "what is lost": signed_overlay(picture, lost)})


def fallen(focus: ExplainedOutput, picture: Array, grey: float) -> Array:
    """Return for each pixel how much the answer falls, on average, under the patches that cover it."""
    corners = [_starts(size) for size in picture.shape[:2]]
    places = [(slice(a, b), slice(c, d)) for a, b in corners[0] for c, d in corners[1]]
    whole, lost, seen = float(focus(picture[None])[0]), np.zeros(picture.shape[:2]), np.zeros(picture.shape[:2])
    for first in range(0, len(places), AT_ONCE):
        part = places[first : first + AT_ONCE]
        covered = np.repeat(picture[None], len(part), axis=0)
        for one, place in zip(covered, part, strict=True):
            one[place] = grey
        for place, answer in zip(part, focus(covered).tolist(), strict=True):
            lost[place] += whole - answer
            seen[place] += 1
    found: Array = lost / seen
    return found


def _starts(size: int) -> list[tuple[int, int]]:
    """Return where a patch begins and ends at each of its places."""
    side = max(1, round(size / SIDE))
    count = min(PLACES, size - side + 1)
    return [(start, start + side) for start in np.linspace(0, size - side, count).astype(int).tolist()]


def _series(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    values, what = model.encoded(row)[0], focus.spelled(model.task.target)
    curves = {name: _blanked(focus, values, place) for place, name in enumerate(model.task.columns)}
    width = _width(len(values))
    hidden = "a step" if width == 1 else f"{width} steps"
    said = (
        f"By how much {what} falls when {hidden} of the window, oldest first, {'is' if width == 1 else 'are'} replaced "
        "by the window's mean; below 0 it rises."
    )
    return lines("Steps that are hidden", said, ("step", what), curves)


def _blanked(focus: ExplainedOutput, values: Array, place: int) -> dict[str, Array]:
    """Hide some steps of one column at a time."""
    width = _width(len(values))
    starts = np.unique(np.linspace(0, len(values) - width, min(WINDOWS, len(values) - width + 1)).astype(int))
    rows = np.repeat(values[None], len(starts), axis=0)
    for one, start in zip(rows, starts.tolist(), strict=True):
        one[start : start + width, place] = values[:, place].mean()
    lost = float(focus(values[None])[0]) - focus(rows)
    return {"x": starts + (width + 1) / 2, "y": lost}


def _width(steps: int) -> int:
    return max(1, steps // STEPS)
