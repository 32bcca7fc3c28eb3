"""Local surrogates, as LIME has them: the line that follows the model close to one row says what moves the answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.heatmap import signed_overlay
from tiltyard.explain.math.linear_surrogate import Line, fit, proximity
from tiltyard.explain.math.masking import PatchMask, WordMask
from tiltyard.explain.methods.base import Explained, Explanation, Row
from tiltyard.figures import Figure, bars, largest, pictures, words
from tiltyard.modeling.columns.number import Number
from tiltyard.preparation.training_rows import sample_rows

ASKED = 1000  # rows near the one that is explained
FEWER = 300  # pictures, if they are large
LARGE = 64 * 64  # pixels
SIDES = 8  # patches down and across
KNOWN = 1000  # training rows that say how far a column spreads


class Lime(Explanation):
    """Columns are moved, words left out, patches made grey."""

    title: ClassVar = "a line that follows the model close to a row"

    def reason(self, model: Explained) -> str:
        """Want answers that are numbers; a series has neither columns that move alone nor parts to leave out."""
        if model.task.kind.targets == "text":
            return "an answer that is a text is no single number to draw a line through"
        return "the steps of a series are shown by occlusion and shap" if model.task.form == "series" else ""

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """One exhibit, by what the row is."""
        focus = ExplainedOutput.on(model.predictor, model.encoded(row))
        show = {"table": _table, "text": _text, "image": _picture}[model.task.form]
        yield show(model, focus, row)


def _table(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    """Move numbers by about a deviation; exchange what has no size for that of other rows."""
    encoded, (others, _) = model.encoded(row)[0], sample_rows(model.parts.train, KNOWN)
    rows, changes = moved(model, encoded, others)
    found = fit(changes, focus(rows), proximity(np.linalg.norm(changes, axis=1), changes.shape[1]))
    values, more = largest(dict(zip(model.parts.encoder.spans, found.slopes.tolist(), strict=True)))
    what = focus.spelled(model.task.target)
    text = (
        f"What becomes of {what} if a number rises by one deviation of the training rows, or anything else is replaced "
        f"by another row's. {_followed(found)}{more}"
    )
    return bars("Local surrogate", text, what, values)


def moved(model: Explained, row: Array, others: Array) -> tuple[Array, Array]:
    """Return encoded rows near one, and how each column was changed: in deviations, or 1 if it is now another's."""
    generator, spans = model.generator, model.parts.encoder.spans
    rows, changes = np.tile(row, (ASKED, 1)), np.zeros((ASKED, len(spans)))
    for place, (name, span) in enumerate(spans.items()):
        if isinstance(model.task.columns[name], Number) and span.stop - span.start == 1:
            changes[:, place] = generator.standard_normal(ASKED)
            rows[:, span] += changes[:, [place]].astype(np.float32) * others[:, span].std()
        else:
            drawn = others[generator.integers(len(others), size=ASKED)][:, span]
            taken = generator.random(ASKED) < 0.5
            rows[taken, span] = drawn[taken]
            changes[:, place] = (rows[:, span] != row[span]).any(axis=1)
    return rows, changes


def _text(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    """Leave out words."""
    text = WordMask.of(model.predictor.encoder, row.values)
    kept = _kept(model, len(text.spelled), ASKED)
    found = _left_out(focus(text.keep(kept)), kept)
    said = f"What each word adds to {focus.spelled(model.task.target)} close to this text. {_followed(found)}"
    return words("Local surrogate", said, [*zip(text.spelled, found.slopes.tolist(), strict=True)])


def _picture(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    """Make patches grey."""
    picture = model.encoded(row)[0]
    patches = PatchMask.of(picture, SIDES, float(np.mean(model.parts.encoder.scaling()[0])))
    large = picture.shape[0] * picture.shape[1] > LARGE
    kept = _kept(model, patches.count, FEWER if large else ASKED)
    found = _left_out(focus(patches.keep(kept)), kept)
    said = (
        f"Patches are made grey: red ones speak for {focus.spelled(model.task.target)}, blue ones against it. "
        f"{_followed(found)}"
    )
    return pictures(
        "Local surrogate", said, {"as it is": picture, "patches": signed_overlay(picture, patches.spread(found.slopes))}
    )


def _kept(model: Explained, pieces: int, asked: int) -> Array:
    """Draw what is kept: a number of pieces that may be any, and then which; the first row is whole."""
    generator = model.generator
    kept: Array = generator.random((asked, pieces)) < generator.uniform(0.3, 1, (asked, 1))
    kept[0] = True
    return kept


def _left_out(answers: Array, kept: Array) -> Line:
    """Fit a line; the more is left out, the less it weighs."""
    gone = 1 - kept.mean(axis=1)
    return fit(kept.astype(np.float64), answers, proximity(2 * gone, 1))


def _followed(found: Line) -> str:
    """Return how far the line is to be trusted."""
    return f"The line explains {max(found.r2, 0):.0%} of what the model does there."
