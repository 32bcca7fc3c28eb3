"""Occlusion: the change of the prediction when a part of the row is hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.heatmap import signed_overlay
from tiltyard.explain.math.masking import WordMask
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, image_figure, lines, word_figure
from tiltyard.modeling.inference.encoder import Encoder

PATCHES_PER_SIDE = 8  # a patch is an image's side divided by this
MAX_PATCH_POSITIONS = 32  # down and across
WINDOWS_PER_SERIES = 24  # a window is a series' length divided by this
MAX_WINDOWS = 120
BATCH_ROWS = 256


class Occlusion(ExplanationMethod):
    """Slide a patch over an image or a window over a series; remove words one at a time."""

    title: ClassVar = "occlusion: loss of the prediction without each part"
    explains_rows: ClassVar = True
    explains_objects: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require an image, text or series, and numeric outputs."""
        if model.task.problem_type.targets == "text" and model.task.problem != "captioning":
            return "occlusion needs a numeric output; a predicted text is none"
        return "for the columns of a table use shap and permutation" if model.task.modality == "table" else ""

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield one figure, by the modality; of several columns, one for each text and image."""
        output = ExplainedOutput.for_row(model.predictor, model.encode(row))
        if model.task.modality == "mixed":
            yield from _of_columns(model, output, row)
        elif model.task.modality == "series":
            yield _series(model, output, row)
        else:
            show = {"text": _text, "image": _image}[model.task.modality]
            yield show(PartOfRow(output, output.describe(model.task.target)), model.predictor.encoder, row)


@dataclass(frozen=True)
class PartOfRow:
    """The explained output by one part of a row: the value itself, or a column while all others stay the same."""

    output: ExplainedOutput
    unit: str
    row: Array | None = None  # the encoded row, (1, features), if it has several columns
    span: slice = field(default_factory=lambda: slice(0))
    name: str = ""

    def __call__(self, values: Array) -> Array:
        """Return the outputs for some values of the part."""
        if self.row is None:
            return self.output(values)
        rows = np.repeat(self.row, len(values), axis=0)
        rows[:, self.span] = values.reshape(len(values), -1)
        return self.output(rows)

    def title(self, text: str) -> str:
        """Return a title with the name of the column, if there are several."""
        return f"{text}: {self.name}" if self.name else text


def _of_columns(model: ExplainedModel, output: ExplainedOutput, row: Row) -> Iterator[Figure]:
    """Yield a figure for each column of texts or images."""
    encoder, encoded, unit = model.predictor.encoder, model.encode(row), output.describe(model.task.target)
    for name, span in encoder.spans.items():
        part, kind = PartOfRow(output, unit, encoded, span, name), encoder.columns[name].branch
        if kind == "image":
            yield _image(part, encoder, row)
        elif kind == "text" and WordMask.of(encoder, row.values, name).pieces:
            yield _text(part, encoder, row)


def _text(part: PartOfRow, encoder: Encoder, row: Row) -> Figure:
    text = WordMask.of(encoder, row.values, part.name)
    masks = ~np.eye(len(text.pieces), dtype=bool)
    decrease = float(part(text.ids[None])[0]) - part(text.keep(masks))
    sentence = f"The decrease of {part.unit} when a word is removed; below 0 it increases."
    return word_figure(part.title("Occlusion of words"), sentence, [*zip(text.pieces, decrease.tolist(), strict=True)])


def _image(part: PartOfRow, encoder: Encoder, row: Row) -> Figure:
    name = part.name or next(iter(encoder.columns))
    column, fitted = encoder.columns[name], encoder.fitted[name]
    image = column.encode(row.values[name], fitted)[0]
    decrease = occlusion_map(part, image, float(np.mean([mean for mean, _ in column.scaling(fitted)])))
    sentence = (
        f"A grey patch slides over the image. Hiding a red region decreases {part.unit}, by up to "
        f"{max(float(decrease.max()), 0):.2g}; hiding a blue one increases it."
    )
    pictures = {"original": image, "decrease": signed_overlay(image, decrease)}
    return image_figure(part.title("Occlusion by patches"), sentence, pictures)


def occlusion_map(output: Callable[[Array], Array], image: Array, grey: float) -> Array:
    """Return for each pixel the mean loss of the output under the patches that cover it."""
    corners = [_patch_bounds(size) for size in image.shape[:2]]
    places = [(slice(a, b), slice(c, d)) for a, b in corners[0] for c, d in corners[1]]
    original, decrease, covers = float(output(image[None])[0]), np.zeros(image.shape[:2]), np.zeros(image.shape[:2])
    for first in range(0, len(places), BATCH_ROWS):
        part = places[first : first + BATCH_ROWS]
        covered = np.repeat(image[None], len(part), axis=0)
        for copy, place in zip(covered, part, strict=True):
            copy[place] = grey
        for place, value in zip(part, output(covered).tolist(), strict=True):
            decrease[place] += original - value
            covers[place] += 1
    mean_decrease: Array = decrease / covers
    return mean_decrease


def _patch_bounds(size: int) -> list[tuple[int, int]]:
    """Return start and end of a patch at each of its positions."""
    side = max(1, round(size / PATCHES_PER_SIDE))
    count = min(MAX_PATCH_POSITIONS, size - side + 1)
    return [(start, start + side) for start in np.linspace(0, size - side, count).astype(int).tolist()]


def _series(model: ExplainedModel, output: ExplainedOutput, row: Row) -> Figure:
    values, output_name = model.encode(row)[0], output.describe(model.task.target)
    curves = {name: _hide_steps(output, values, place) for place, name in enumerate(model.task.columns)}
    width = _width(len(values))
    hidden, verb = ("a step", "is") if width == 1 else (f"{width} steps", "are")
    sentence = (
        f"The decrease of {output_name} when {hidden} of the window, oldest first, {verb} replaced "
        "by the window's mean; below 0 it increases."
    )
    return lines("Occlusion of steps", sentence, ("step", output_name), curves)


def _hide_steps(output: ExplainedOutput, values: Array, place: int) -> dict[str, Array]:
    """Replace a few steps of one column at a time by its mean."""
    width = _width(len(values))
    starts = np.unique(np.linspace(0, len(values) - width, min(MAX_WINDOWS, len(values) - width + 1)).astype(int))
    rows = np.repeat(values[None], len(starts), axis=0)
    for copy, start in zip(rows, starts.tolist(), strict=True):
        copy[start : start + width, place] = values[:, place].mean()
    decrease = float(output(values[None])[0]) - output(rows)
    return {"x": starts + (width + 1) / 2, "y": decrease}


def _width(steps: int) -> int:
    return max(1, steps // WINDOWS_PER_SERIES)
