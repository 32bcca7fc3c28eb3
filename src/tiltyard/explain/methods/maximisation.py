"""Activation maximisation: the input that the model would call a class the most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.activation_maximization import PIXELS, Ground, maximize
from tiltyard.explain.math.heatmap import diverging
from tiltyard.explain.methods.base import Explained, Explanation
from tiltyard.figures import Figure, lines, pictures

MOST = 20  # classes that are shown


class Maximisation(Explanation):
    """Gradient ascent on the input, held together by a draw to the middle and by alike neighbours."""

    title: ClassVar = "what the model wants to see"
    inward: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want what can be changed a little at a time, and looked at."""
        if model.task.form not in ("image", "series") or model.parts.encoder.vocabulary_size:
            return f"{model.task.name} has neither pictures nor a series"
        return ""

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """A picture a class; of a series the windows with the lowest and the highest answer."""
        if model.task.form == "series":
            yield _windows(model)
            return
        names = [f"class {name}" for name in model.task.classes[:MOST]] or ["largest number"]
        found = _found(model, PIXELS, np.arange(len(names), dtype=np.int32), np.ones(len(names)))
        text = (
            "Pictures made from noise so that the score of a class gets as large as it can. Grey is what does not "
            "matter, bright is what the class wants and dark what it forbids; contrast is stretched."
        )
        shown = {name: diverging(one - PIXELS.middle) for name, one in zip(names, found, strict=True)}
        yield pictures("Activation maximisation", text, shown)


def _windows(model: Explained) -> Figure:
    mean, std = (np.array(part) for part in model.parts.encoder.scaling())
    classes = model.task.classes
    names = classes or ["lowest answer", "highest answer"]
    places = np.arange(len(names), dtype=np.int32) if classes else np.zeros(2, dtype=np.int32)
    signs = np.ones(len(names)) if classes else np.array([-1.0, 1.0])
    found = _found(model, Ground(mean, std), places, signs)
    steps = np.arange(1 - found.shape[1], 1)
    several = len(model.task.columns) > 1
    curves = {
        f"{name}, {column}" if several else name: {"x": steps, "y": window[:, span].mean(axis=-1)}
        for name, window in zip(names, found, strict=True)
        for column, span in model.parts.encoder.spans.items()
    }
    text = (
        "Windows made from noise so that the answer gets as extreme as it can while values stay near the usual ones; "
        "flat stretches are steps that hardly matter."
    )
    return lines("Activation maximisation", text, ("step", "value"), curves)


def _found(model: Explained, ground: Ground, places: Array, signs: Array) -> Array:
    """Climb for all places at once."""
    shape = (len(places), *model.known[0].shape[1:])
    signs = signs.reshape(-1, *[1] * (len(shape) - 1))
    return maximize(shape, lambda x: signs * model.inside.slopes(x, places)[1], ground, model.generator)
