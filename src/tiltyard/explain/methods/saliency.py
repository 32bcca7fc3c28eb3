"""Saliency: the gradient of the prediction with respect to each pixel, step or column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import to_colours
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, bars, image_figure, lines, word_figure
from tiltyard.modeling.columns.text import Text

NOISY_COPIES = 24  # of SmoothGrad
NOISE = 0.15  # as a share of the pixels' range, or in deviations
MAX_ROWS = 200  # for the mean over validation rows


class Saliency(ExplanationMethod):
    """The magnitude of the gradient of the predicted label's score, or of the predicted number."""

    title: ClassVar = "saliency: gradient of the prediction"
    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a single score, and embedded words if the model reads words."""
        if model.task.problem_type.targets == "text":
            return f"{model.task.name} predicts texts, which have no single score"
        if model.task.problem == "multilabel" or model.task.target.columns:
            several = "labels" if model.task.labels else "numbers"
            return f"{model.task.name} predicts several {several}, which have no single score"
        if model.task.modality == "mixed":
            return "words, pixels and numbers have gradients of different units; use shap and occlusion"
        if model.data.encoder.vocabulary_size and not model.network_view.embedding:
            return "the model reads word ids without an embedding, and ids have no gradient"
        if model.data.encoder.token_weights:
            return "the model reads n-grams, which span words: a gradient has no word"
        return ""

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield the mean over validation rows."""
        if model.data.encoder.vocabulary_size:
            return
        magnitudes = np.abs(_scaled_gradients(model, model.validation[0][:MAX_ROWS])).mean(axis=0)
        text = f"{_description(model)} Mean magnitude over {min(MAX_ROWS, len(model.validation[0]))} validation rows."
        if model.task.modality == "image":
            yield image_figure("Mean saliency", text, {"all classes": to_colours(magnitudes.max(axis=-1))})
        elif model.task.modality == "series":
            yield lines("Mean saliency", text, ("step", "change of the prediction"), _by_step(model, magnitudes))
        else:
            yield bars("Mean saliency", text, "change of the prediction", _by_column(model, magnitudes))

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield the plain gradient, and its mean over noisy copies (SmoothGrad)."""
        features, text = model.encode(row), _description(model)
        if model.data.encoder.vocabulary_size:
            yield word_figure("Saliency", text, _word_weights(model, row))
            return
        plain, smooth = np.abs(_scaled_gradients(model, features))[0], _smooth(model, features)
        if model.task.modality == "image":
            maps = {"plain": to_colours(plain.max(axis=-1)), "smooth": to_colours(smooth.max(axis=-1))}
            text = f"{text} Smooth is the mean over {NOISY_COPIES} noisy copies."
            yield image_figure("Saliency", text, {"image": features[0], **maps})
        elif model.task.modality == "series":
            curves = {**_by_step(model, plain, " plain"), **_by_step(model, smooth, " smooth")}
            text = f"{text} Smooth is the mean over {NOISY_COPIES} noisy copies."
            yield lines("Saliency", text, ("step", "change of the prediction"), curves)
        else:
            text = f"{text} Mean over {NOISY_COPIES} noisy copies."
            yield bars("Saliency", text, "change of the prediction", _by_column(model, smooth))


def _description(model: ExplainedModel) -> str:
    output = "the predicted label's score before softmax" if model.task.classes else "the prediction"
    if model.data.encoder.vocabulary_size:
        return f"How much each word moves {output}, up or down: gradient times word vector."
    part, unit = {"image": ("pixel", "grey level"), "series": ("step", "deviation")}.get(
        model.task.modality, ("column", "deviation")
    )
    return f"The change of {output} with each {part}, up or down, by {unit}."


def _by_column(model: ExplainedModel, magnitudes: Array) -> dict[str, Any]:
    """Sum the features of each column, the largest first."""
    sums = {name: float(magnitudes[span].sum()) for name, span in model.data.encoder.spans.items()}
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def _by_step(model: ExplainedModel, magnitudes: Array, kind: str = "") -> dict[str, Any]:
    steps = np.arange(1 - len(magnitudes), 1)
    spans = model.data.encoder.spans.items()
    return {f"{name}{kind}": {"x": steps, "y": magnitudes[:, span].sum(axis=-1)} for name, span in spans}


def _scaled_gradients(model: ExplainedModel, features: Array, label: Array | None = None) -> Array:
    """Return the gradient by each feature, times the feature's deviation."""
    label = model.network_view.top_outputs(features) if label is None else label
    _, gradients = model.network_view.gradients(features, label)
    return np.asarray(gradients * _scale(model))


def _smooth(model: ExplainedModel, features: Array) -> Array:
    """Return the mean over noisy copies; the label stays that of the row itself."""
    value_range = np.ptp(features) if model.task.modality == "image" else 1.0
    noise = model.generator.standard_normal((NOISY_COPIES, *features.shape[1:]))
    label = np.repeat(model.network_view.top_outputs(features), NOISY_COPIES)
    gradients = _scaled_gradients(model, features + NOISE * value_range * _scale(model) * noise, label)
    return np.asarray(np.abs(gradients).mean(axis=0))


def _scale(model: ExplainedModel) -> Any:
    """Return the unit of each feature: a grey level for images, a deviation otherwise."""
    return 1.0 if model.task.modality == "image" else np.array(model.data.encoder.scaling()[1])


def _word_weights(model: ExplainedModel, row: Row) -> list[tuple[str, float]]:
    """Return each word with its weight."""
    ((name, column),) = model.task.columns.items()
    (text,) = column.to_json(row.values[name])
    pieces = text.split() if isinstance(column, Text) and column.by == "words" else [*text]
    return list(zip(pieces, _gradient_times_embedding(model, model.encode(row)), strict=False))


def _gradient_times_embedding(model: ExplainedModel, features: Array) -> list[float]:
    """Return gradient times word vector: the word's share of the score in a linear approximation."""
    assert model.network_view.embedding  # noqa: S101 - for the type checker: `unsupported_reason` has checked it
    (vectors,) = model.network_view.activations(features, [model.network_view.embedding[1]])
    _, gradients = model.network_view.embedding_gradients(vectors, features, model.network_view.top_outputs(features))
    weights: list[float] = (gradients * vectors).sum(axis=-1)[0].tolist()
    return weights
