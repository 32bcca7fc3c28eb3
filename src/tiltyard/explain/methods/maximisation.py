"""Activation maximization: the input with the largest score of each class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.activation_maximization import PIXELS, InputRange, maximize
from tiltyard.explain.math.heatmap import diverging
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod
from tiltyard.figures import Figure, image_figure, lines

MAX_CLASSES = 20


class Maximisation(ExplanationMethod):
    """Gradient ascent on the input, regularized by L2 decay and total variation."""

    title: ClassVar = "activation maximization: inputs with the largest score"
    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require continuous inputs that can be drawn: images or series."""
        if model.task.problem_type.targets == "text":
            return f"{model.task.name} predicts texts, which have no single score"
        if model.task.modality == "mixed":
            return f"it needs inputs of one kind; {model.task.name} has several"
        if model.task.modality not in ("image", "series") or model.data.encoder.vocabulary_size:
            return f"{model.task.name} has neither images nor a series"
        return ""

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield an image for each class, or the windows of a series with the lowest and highest prediction."""
        if model.task.modality == "series":
            yield _windows(model)
            return
        names = [f"class {name}" for name in model.task.labels[:MAX_CLASSES]] or ["largest number"]
        inputs = _maximize(model, PIXELS, np.arange(len(names), dtype=np.int32), np.ones(len(names)))
        text = (
            "Images optimized from noise so that the score of a class is as large as possible. Grey pixels do not "
            "matter; bright pixels raise it by being bright, dark ones by being dark. Contrast is stretched."
        )
        images = {name: diverging(image - PIXELS.middle) for name, image in zip(names, inputs, strict=True)}
        yield image_figure("Activation maximization", text, images)


def _windows(model: ExplainedModel) -> Figure:
    mean, std = (np.array(part) for part in model.data.encoder.scaling())
    classes = model.task.classes
    names = classes or ["lowest prediction", "highest prediction"]
    places = np.arange(len(names), dtype=np.int32) if classes else np.zeros(2, dtype=np.int32)
    signs = np.ones(len(names)) if classes else np.array([-1.0, 1.0])
    windows = _maximize(model, InputRange(mean, std), places, signs)
    steps = np.arange(1 - windows.shape[1], 1)
    has_columns = len(model.task.columns) > 1
    curves = {
        f"{name}, {column}" if has_columns else name: {"x": steps, "y": window[:, span].mean(axis=-1)}
        for name, window in zip(names, windows, strict=True)
        for column, span in model.data.encoder.spans.items()
    }
    text = (
        "Windows optimized from noise so that the prediction is as extreme as possible while values stay near the "
        "usual ones; flat stretches are steps that hardly matter."
    )
    return lines("Activation maximization", text, ("step", "value"), curves)


def _maximize(model: ExplainedModel, bounds: InputRange, outputs: Array, signs: Array) -> Array:
    """Run gradient ascent for all scores at once."""
    shape = (len(outputs), *model.validation[0].shape[1:])
    signs = signs.reshape(-1, *[1] * (len(shape) - 1))
    return maximize(shape, lambda x: signs * model.network_view.gradients(x, outputs)[1], bounds, model.generator)
