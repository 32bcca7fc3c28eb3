"""Attention: where a captioner looks in a picture for each word of the caption."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import overlay
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, captioned_images
from tiltyard.modeling.columns._vocabulary import END
from tiltyard.modeling.models.captioner import ENCODER, Captioner, cross_attention
from tiltyard.modeling.problems.captioning import written


class Attention(ExplanationMethod):
    """The weights of cross-attention, the mean over all heads and blocks, laid over the picture."""

    title: ClassVar = "attention: where the model looks for each word"
    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a captioner whose feature map has several places."""
        if not isinstance(model.task.model, Captioner):
            return f"{model.task.name} writes no captions"
        return "" if math.prod(_map_size(model)) > 1 else "the feature map has one place only: use fewer filters"

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield the picture once for each word."""
        features = model.encode(row)
        words = {index: word for word, index in model.predictor.encoder.target["ids"].items()}
        ids = written(model.predictor.run(features)[0])
        shown = [("picture", features[0])]
        for place, (index, weights) in enumerate(zip(ids, attention_maps(model, features, len(ids)), strict=True)):
            word = "the end" if index == END else words.get(index, "an unknown word")
            shown.append((f"{place + 1}: {word}", overlay(features[0], weights)))
        height, width = _map_size(model)
        text = (
            f"The weights of the {height}x{width} places of the feature map at each word, yellow for the largest; "
            "the mean over heads and blocks. They say where vectors come from, not what is in them: a place knows of "
            "its surroundings."
        )
        yield captioned_images("Attention by word", text, shown)


def attention_maps(model: ExplainedModel, features: Array, steps: int) -> Array:
    """Return the mean weights of each place at each step, (steps, height, width), for one row."""
    import keras

    network, (height, width) = model.network, _map_size(model)
    assert isinstance(model.task.model, Captioner)  # noqa: S101 - for the type checker: `unsupported_reason` checked it
    blocks = range(model.task.model.blocks)
    layers = [network.get_layer(cross_attention(block, step)).output for step in range(steps) for block in blocks]
    weights = keras.tree.flatten(keras.Model(network.input, layers)(features.astype(np.float32), training=False))
    by_head = np.stack([keras.ops.convert_to_numpy(one)[0, :, 0] for one in weights])  # (steps and blocks, heads, ...)
    means: Array = by_head.reshape(steps, -1, height, width).mean(axis=1)
    return means


def _map_size(model: ExplainedModel) -> tuple[int, int]:
    """Return height and width of the feature map that the decoder attends to."""
    assert isinstance(model.task.model, Captioner)  # noqa: S101 - for the type checker
    height, width, _ = model.network.get_layer(ENCODER).input_shape[1:]
    halvings = len(model.task.model.filters)
    return height >> halvings, width >> halvings
