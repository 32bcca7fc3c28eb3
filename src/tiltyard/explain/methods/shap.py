"""Shapley values: what each column, step or word adds to an answer, against rows that know nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.masking import WordMask
from tiltyard.explain.math.shapley import asked, mixed, shapley
from tiltyard.explain.methods.base import Explained, Explanation, Row
from tiltyard.figures import LONGEST, Figure, bars, largest, points, words
from tiltyard.modeling.columns.number import Number
from tiltyard.preparation.training_rows import sample_rows

BACKGROUND = 100  # training rows that stand for not knowing
ROWS = 60  # validation rows that show the whole model
PAIRS = 2  # of orders for each row of the background
ALONE = 2048  # orders of one word each where there is no background: the more words, the fewer orders of all
CELLS = 1 << 28  # values that the model may be asked with about the whole of it: fewer rows, if columns are many
STEPS = 24  # stretches of a series
LONG = 24  # characters of a value behind its column's name

Spans = Mapping[str, slice]


class Shap(Explanation):
    """Columns of a table, stretches of a series, words of a text; a picture has nothing of the kind."""

    title: ClassVar = "what each part of a row adds to the answer"

    def reason(self, model: Explained) -> str:
        """Want answers that are numbers, and parts that have a name."""
        if model.task.kind.targets == "text":
            return "an answer that is a text is no single number to share out"
        return "pixels have no names; patches are shown by lime and occlusion" if model.task.form == "image" else ""

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """How much columns add or take, on average; and of the most important one, when."""
        if model.task.form != "table":
            return
        features, found = _known(model), _all(model)
        sizes = dict(zip(model.parts.encoder.spans, np.abs(found).mean(axis=0).tolist(), strict=True))
        values, more = largest(sizes)
        what = "the likeliest label's probability" if model.task.classes else model.task.target.column
        text = f"By how much a column moves {what}, up or down, on average over {len(found)} validation rows.{more}"
        yield bars("Mean Shapley values", text, _axis(model), values)
        numbers = [name for name in sizes if isinstance(model.task.columns[name], Number)]
        if numbers:
            first = max(numbers, key=sizes.__getitem__)
            yield _dependence(model, first, features, found[:, [*sizes].index(first)])

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """What each part of the row adds; together they are the answer."""
        focus = ExplainedOutput.on(model.predictor, model.encoded(row))
        what = focus.spelled(model.task.target)
        if model.task.form == "text":
            yield _words(model, focus, row)
            return
        spans = _spans(model)
        found, base = _values(model, focus, model.encoded(row)[0], spans)
        named = [_valued(model, row, name) for name in spans]
        values, more = _rest(dict(zip(named, found.tolist(), strict=True)))
        text = (
            f"On average over training rows {what} is {base:.4g}; what this row adds to that or takes from it "
            f"makes {base + found.sum():.4g}.{more}"
        )
        yield bars("Shapley values", text, what, values)


def _all(model: Explained) -> Array:
    """Return the contributions of all columns to the answers for validation rows."""
    spans = _spans(model)
    return np.array(
        [_values(model, ExplainedOutput.on(model.predictor, row[None]), row, spans)[0] for row in _known(model)]
    )


def _known(model: Explained) -> Array:
    """Return some validation rows."""
    features, _ = model.known
    cells = asked(len(_spans(model)), PAIRS) * BACKGROUND * features.shape[1]
    return features[: max(5, min(ROWS, CELLS // cells))]


def _spans(model: Explained) -> Spans:
    """Return where the features of each part stand once a row is flat."""
    if model.task.form == "table":
        return model.parts.encoder.spans
    steps, width = model.known[0].shape[1:]
    wide = -(-steps // STEPS)
    ends = [(first, min(first + wide, steps)) for first in range(0, steps, wide)]
    return {_stretch(first, end): slice(first * width, end * width) for first, end in ends}


def _stretch(first: int, end: int) -> str:
    return f"step {end}" if end == first + 1 else f"steps {first + 1} to {end}"


def _values(model: Explained, focus: ExplainedOutput, row: Array, spans: Spans) -> tuple[Array, float]:
    """Return contributions and base of one encoded row."""
    background, _ = sample_rows(model.parts.train, BACKGROUND)
    games = [partial(_won, focus, row, other, [*spans.values()]) for other in background]
    return shapley(games, len(spans), PAIRS, model.generator)


def _won(focus: Callable[[Array], Array], row: Array, other: Array, spans: list[slice], coalitions: Array) -> Array:
    """Ask the model about rows that are partly this one."""
    rows = mixed(row.ravel(), other.ravel(), spans, coalitions)
    return focus(rows.reshape(-1, *row.shape))


def _rest(values: dict[str, float]) -> tuple[dict[str, float], str]:
    """Put together what is too small to be shown, so that the bars still add up; where all are, leave their order."""
    if len(values) <= LONGEST:
        return values, ""
    kept, more = largest(values)
    left = {name: value for name, value in values.items() if name not in kept}
    return kept | ({f"the {len(left)} others": sum(left.values())} if left else {}), more


def _valued(model: Explained, row: Row, name: str) -> str:
    """Name a column and its value."""
    if name not in row.values or model.task.form != "table":
        return name
    value = model.task.columns[name].to_json(row.values[name])[0]
    told = f"{value:.6g}" if isinstance(value, float) else "missing" if value in (None, "") else str(value)
    return f"{name} = {told if len(told) <= LONG else told[:LONG] + '...'}"


def _words(model: Explained, focus: ExplainedOutput, row: Row) -> Figure:
    """Let words be there or not."""
    text, what = WordMask.of(model.predictor.encoder, row.values), focus.spelled(model.task.target)
    count = len(text.spelled)
    pairs = max(4, min(32, ALONE // count))
    found, base = shapley([lambda kept: focus(text.keep(kept))], count, pairs, model.generator)
    said = (
        f"Without a known word {what} is {base:.4g}, with all of them {base + found.sum():.4g}. "
        "Shaded words raise it, underlined ones lower it."
    )
    return words("Shapley values of words", said, [*zip(text.spelled, found.tolist(), strict=True)])


def _dependence(model: Explained, name: str, features: Array, found: Array) -> Figure:
    """Compare a column's contribution with its value."""
    column = model.task.columns[name]
    unit, log = getattr(column, "unit", ""), getattr(column, "log", False)
    across = f"logarithm of 1 + {name}" if log else f"{name} {unit}".strip()
    groups = {"validation rows": (features[:, model.parts.encoder.spans[name].start], found)}
    text = f"The value of {name} and what it adds to the answer, a point a validation row; below 0 it takes."
    return points(f"What {name} adds", text, (across, _axis(model)), groups, level=0)


def _axis(model: Explained) -> str:
    return "probability" if model.task.classes else ExplainedOutput(model.predictor, None).spelled(model.task.target)
