"""LIME: a local linear surrogate of the model near one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.heatmap import signed_overlay
from tiltyard.explain.math.linear_surrogate import LinearFit, fit, proximity
from tiltyard.explain.math.masking import PatchMask, WordMask
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, bars, image_figure, largest_bars, word_figure
from tiltyard.modeling.columns.number import Number
from tiltyard.preparation.training_rows import sample_rows

SAMPLES = 1000  # perturbed rows
SAMPLES_LARGE_IMAGE = 300
LARGE_IMAGE_PIXELS = 64 * 64
PATCHES_PER_SIDE = 8
BACKGROUND_ROWS = 1000  # training rows, for deviations and replacement values


class Lime(ExplanationMethod):
    """Perturb columns, words or image patches, and fit a line to the model's outputs."""

    title: ClassVar = "LIME: local linear surrogate"
    explains_rows: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require numeric outputs, and a table, text or image."""
        if model.task.problem_type.targets == "text":
            return "LIME needs a numeric output; a predicted text is none"
        return "for the steps of a series use occlusion and shap" if model.task.modality == "series" else ""

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield one figure, by the modality."""
        output = ExplainedOutput.for_row(model.predictor, model.encode(row))
        show = {"table": _table, "mixed": _table, "text": _text, "image": _image}[model.task.modality]
        yield show(model, output, row)


def _table(model: ExplainedModel, output: ExplainedOutput, row: Row) -> Figure:
    """Perturb numbers by about one deviation; replace other values by those of other rows."""
    encoded, (background, _) = model.encode(row)[0], sample_rows(model.data.train, BACKGROUND_ROWS)
    rows, changes = perturb_table(model, encoded, background)
    surrogate = fit(changes, output(rows), proximity(np.linalg.norm(changes, axis=1), changes.shape[1]))
    values, omitted = largest_bars(dict(zip(model.data.encoder.spans, surrogate.slopes.tolist(), strict=True)))
    unit = output.describe(model.task.target)
    text = (
        f"The change of {unit} if a number rises by one deviation of the training rows, or another value is replaced "
        f"by another row's. {_fit_text(surrogate)}{omitted}"
    )
    return bars("Local surrogate", text, unit, values)


def perturb_table(model: ExplainedModel, row: Array, background: Array) -> tuple[Array, Array]:
    """Return perturbed encoded rows, and each column's change: in deviations, or 1 if its value was replaced."""
    generator, spans = model.generator, model.data.encoder.spans
    rows, changes = np.tile(row, (SAMPLES, 1)), np.zeros((SAMPLES, len(spans)))
    for place, (name, span) in enumerate(spans.items()):
        if isinstance(model.task.columns[name], Number) and span.stop - span.start == 1:
            changes[:, place] = generator.standard_normal(SAMPLES)
            rows[:, span] += changes[:, [place]].astype(np.float32) * background[:, span].std()
        else:
            replacements = background[generator.integers(len(background), size=SAMPLES)][:, span]
            replaced = generator.random(SAMPLES) < 0.5
            rows[replaced, span] = replacements[replaced]
            changes[:, place] = (rows[:, span] != row[span]).any(axis=1)
    return rows, changes


def _text(model: ExplainedModel, output: ExplainedOutput, row: Row) -> Figure:
    """Remove words."""
    text = WordMask.of(model.predictor.encoder, row.values)
    masks = _sample_masks(model, len(text.pieces), SAMPLES)
    surrogate = _fit_masks(output(text.keep(masks)), masks)
    sentence = f"What each word adds to {output.describe(model.task.target)} close to this text. {_fit_text(surrogate)}"
    return word_figure("Local surrogate", sentence, [*zip(text.pieces, surrogate.slopes.tolist(), strict=True)])


def _image(model: ExplainedModel, output: ExplainedOutput, row: Row) -> Figure:
    """Grey out patches."""
    image = model.encode(row)[0]
    patches = PatchMask.of(image, PATCHES_PER_SIDE, float(np.mean(model.data.encoder.scaling()[0])))
    large = image.shape[0] * image.shape[1] > LARGE_IMAGE_PIXELS
    masks = _sample_masks(model, patches.count, SAMPLES_LARGE_IMAGE if large else SAMPLES)
    surrogate = _fit_masks(output(patches.keep(masks)), masks)
    sentence = (
        f"Patches are greyed out: red ones raise {output.describe(model.task.target)}, blue ones lower it. "
        f"{_fit_text(surrogate)}"
    )
    return image_figure(
        "Local surrogate",
        sentence,
        {"original": image, "patches": signed_overlay(image, patches.spread(surrogate.slopes))},
    )


def _sample_masks(model: ExplainedModel, pieces: int, samples: int) -> Array:
    """Draw a share of pieces to keep, then which ones; the first row keeps all."""
    generator = model.generator
    masks: Array = generator.random((samples, pieces)) < generator.uniform(0.3, 1, (samples, 1))
    masks[0] = True
    return masks


def _fit_masks(outputs: Array, masks: Array) -> LinearFit:
    """Fit a line; rows with more pieces removed weigh less."""
    removed = 1 - masks.mean(axis=1)
    return fit(masks.astype(np.float64), outputs, proximity(2 * removed, 1))


def _fit_text(surrogate: LinearFit) -> str:
    """Return how well the line fits the model."""
    return f"The line explains {max(surrogate.r2, 0):.0%} of the model's local variance."
