"""Grad-CAM: the regions of an image that raise the score of a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import overlay, resize, to_colours
from tiltyard.explain.methods.base import ConvolutionMethod, ExplainedModel, Row
from tiltyard.figures import Figure, image_figure


class GradCam(ConvolutionMethod):
    """The last feature maps, weighted by the mean gradient of the score."""

    title: ClassVar = "Grad-CAM: regions that raise the score of a label"

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield it for the predicted label, of several the most probable one, and for the true label if they differ."""
        features = model.encode(row)
        (predicted,) = model.network_view.top_outputs(features).tolist()
        first = "predicted" if model.task.classes else "most probable"
        scores = {first: predicted} if model.task.labels else {"number": 0}
        if model.task.classes and (truth := int(row.truth[0])) != predicted:
            scores["truth"] = truth
        images = {"image": features[0]}
        for name, index in scores.items():
            heat = heat_map(model, features, index)
            label = f"{name} {model.task.labels[index]}" if model.task.labels else name
            size = model.network_view.feature_maps[1].shape[1:3] if model.network_view.feature_maps else ()
            images[f"{label}, {'x'.join(map(str, size))} positions"] = to_colours(
                resize(heat[None], features.shape[1:3])[0]
            )
            images[f"{label}, overlay"] = overlay(features[0], heat)
        text = "Yellow regions raise the score, black ones do not; regions that lower it are not shown."
        yield image_figure("Grad-CAM", text, images)


def heat_map(model: ExplainedModel, features: Array, index: int) -> Array:
    """Return the Grad-CAM heat map of one score at the resolution of the last feature maps."""
    assert model.network_view.feature_maps  # noqa: S101 - for the type checker: `unsupported_reason` has checked it
    (maps,) = model.network_view.activations(features, [model.network_view.feature_maps[1]])
    _, gradients = model.network_view.feature_map_gradients(maps, features, np.array([index], dtype=np.int32))
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.maximum((weights * maps).sum(axis=-1), 0)[0])
