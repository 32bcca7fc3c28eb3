"""Saliency: how much the answer would change if a pixel, a step or a column changed a little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import coloured
from tiltyard.explain.methods.base import Explained, Explanation, Row
from tiltyard.figures import Figure, bars, lines, pictures, words
from tiltyard.modeling.columns.text import Text

COPIES = 24  # with noise, over which the smooth one is a mean
NOISE = 0.15  # of the range of a picture's pixels, or of a deviation
ROWS = 200  # that the mean over many is taken of


class Saliency(Explanation):
    """The size of the gradient of the score that the answer is given for; of numbers, of the number."""

    title: ClassVar = "what the answer is sensitive to"
    inward: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want one answer, not a text; and words that are embedded, if it is words that are read."""
        if model.task.kind.targets == "text":
            return f"{model.task.name} is answered by a text, which has no single score"
        if model.parts.encoder.vocabulary_size and not model.inside.embedded:
            return "the model reads words by their numbers alone, and those cannot change a little"
        return ""

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """Show the mean over validation rows."""
        if model.parts.encoder.vocabulary_size:
            return
        found = np.abs(_slopes(model, model.known[0][:ROWS])).mean(axis=0)
        text = f"{_how(model)} Mean of the sizes over {min(ROWS, len(model.known[0]))} validation rows."
        if model.task.form == "image":
            yield pictures("Saliency on the whole", text, {"all classes": coloured(found.max(axis=-1))})
        elif model.task.form == "series":
            yield lines("Saliency on the whole", text, ("step", "change of the answer"), _by_step(model, found))
        else:
            yield bars("Saliency on the whole", text, "change of the answer", _by_column(model, found))

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """Show it as it is, and as a mean over noisy copies, which is less ragged."""
        features, text = model.encoded(row), _how(model)
        if model.parts.encoder.vocabulary_size:
            yield words("Saliency", text, _by_word(model, row))
            return
        plain, smooth = np.abs(_slopes(model, features))[0], _smooth(model, features)
        if model.task.form == "image":
            maps = {"plain": coloured(plain.max(axis=-1)), "smooth": coloured(smooth.max(axis=-1))}
            text = f"{text} Smooth is the mean over {COPIES} noisy copies."
            yield pictures("Saliency", text, {"picture": features[0], **maps})
        elif model.task.form == "series":
            curves = {**_by_step(model, plain, " plain"), **_by_step(model, smooth, " smooth")}
            text = f"{text} Smooth is the mean over {COPIES} noisy copies."
            yield lines("Saliency", text, ("step", "change of the answer"), curves)
        else:
            text = f"{text} Mean over {COPIES} noisy copies."
            yield bars("Saliency", text, "change of the answer", _by_column(model, smooth))


def _how(model: Explained) -> str:
    answer = "the likeliest label's score before softmax" if model.task.classes else "the answer"
    if model.parts.encoder.vocabulary_size:
        return f"By how much each word moves {answer}, up or down: gradient times the word's vector."
    what, unit = {"image": ("pixel", "a step of brightness"), "series": ("step", "a deviation")}.get(
        model.task.form, ("column", "a deviation")
    )
    return f"How fast {answer} changes with each {what}, by {unit}, whichever way."


def _by_column(model: Explained, found: Array) -> dict[str, Any]:
    """Add up what belongs to a column, the largest first."""
    sums = {name: float(found[span].sum()) for name, span in model.parts.encoder.spans.items()}
    return dict(sorted(sums.items(), key=lambda one: -one[1]))


def _by_step(model: Explained, found: Array, kind: str = "") -> dict[str, Any]:
    steps = np.arange(1 - len(found), 1)
    spans = model.parts.encoder.spans.items()
    return {f"{name}{kind}": {"x": steps, "y": found[:, span].sum(axis=-1)} for name, span in spans}


def _slopes(model: Explained, features: Array, label: Array | None = None) -> Array:
    """Return the slope by each feature, in its deviations where columns have some."""
    label = model.inside.answers(features) if label is None else label
    _, slopes = model.inside.slopes(features, label)
    return np.asarray(slopes * _scale(model))


def _smooth(model: Explained, features: Array) -> Array:
    """Return the mean over copies with noise; the label stays that of the row itself."""
    spread = np.ptp(features) if model.task.form == "image" else 1.0
    noise = model.generator.standard_normal((COPIES, *features.shape[1:]))
    label = np.repeat(model.inside.answers(features), COPIES)
    found = _slopes(model, features + NOISE * spread * _scale(model) * noise, label)
    return np.asarray(np.abs(found).mean(axis=0))


def _scale(model: Explained) -> Any:
    """Return what a step of each feature is: of a picture one of brightness."""
    return 1.0 if model.task.form == "image" else np.array(model.parts.encoder.scaling()[1])


def _by_word(model: Explained, row: Row) -> list[tuple[str, float]]:
    """Weigh the words that there are."""
    ((name, column),) = model.task.columns.items()
    (text,) = column.to_json(row.values[name])
    told = text.split() if isinstance(column, Text) and column.by == "words" else [*text]
    return list(zip(told, _of_vectors(model, model.encoded(row)), strict=False))


def _of_vectors(model: Explained, features: Array) -> list[float]:
    """Return the slope along each word's vector: what the word adds to the score, were all as straight as here."""
    assert model.inside.embedded  # noqa: S101 - for the type checker: `reason` has seen to it
    (vectors,) = model.inside.see(features, [model.inside.embedded[1]])
    _, slopes = model.inside.slopes_of_words(vectors, features, model.inside.answers(features))
    weights: list[float] = (slopes * vectors).sum(axis=-1)[0].tolist()
    return weights
