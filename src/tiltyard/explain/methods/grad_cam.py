"""Grad-CAM: where in a picture the last maps find what speaks for a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import coloured, enlarged, overlay
from tiltyard.explain.methods.base import Explained, OfMaps, Row
from tiltyard.figures import Figure, pictures


class GradCam(OfMaps):
    """The maps of the last layer that has some, weighed by what each adds to the score on average."""

    title: ClassVar = "where a picture speaks for its label"

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """Show it for the answer, and for the truth where that is another one."""
        features = model.encoded(row)
        (answer,) = model.inside.answers(features).tolist()
        places = {"answer": answer} if model.task.classes else {"number": 0}
        if model.task.classes and (truth := int(row.truth[0])) != answer:
            places["truth"] = truth
        shown = {"picture": features[0]}
        for name, place in places.items():
            heat = heat_map(model, features, place)
            told = f"{name} {model.task.classes[place]}" if model.task.classes else name
            size = model.inside.maps[1].shape[1:3] if model.inside.maps else ()
            shown[f"{told}, {'x'.join(map(str, size))} places"] = coloured(enlarged(heat[None], features.shape[1:3])[0])
            shown[f"{told}, over the picture"] = overlay(features[0], heat)
        text = (
            "Yellow is where the last maps speak for it, black where they do not; what speaks against it is not shown."
        )
        yield pictures("Grad-CAM", text, shown)


def heat_map(model: Explained, features: Array, place: int) -> Array:
    """Return what speaks for a place of the scores, at each place of the last maps."""
    assert model.inside.maps  # noqa: S101 - for the type checker: `reason` has seen to it
    (maps,) = model.inside.see(features, [model.inside.maps[1]])
    _, slopes = model.inside.slopes_of_maps(maps, features, np.array([place], dtype=np.int32))
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.maximum((weights * maps).sum(axis=-1), 0)[0])
