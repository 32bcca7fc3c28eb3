"""Network dissection: convolution units that detect a concept, such as a stroke or a colour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import resize
from tiltyard.explain.methods.base import ConvolutionMethod, ExplainedModel
from tiltyard.figures import Figure, bars, image_figure, table

FIRING_SHARE = 0.01  # of all positions: a unit fires where its activation is among the highest
MIN_OVERLAP = 0.04  # intersection over union of a detector, as in the paper
MAX_LAYERS = 3  # first, middle and last
MAX_UNITS = 12  # in the table


class Dissection(ConvolutionMethod):
    """Run synthetic concepts through the network, and compare where each unit fires with the concept's mask."""

    title: ClassVar = "network dissection: units that detect a concept"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield the concepts, the number of units that detect each, and the best units."""
        from tiltyard.explain.math.synthetic_concepts import draw_concepts

        concepts = draw_concepts(model.validation[0].shape[1:], model.generator)
        text = "Drawn images of each concept; the pixels that show it are known."
        yield image_figure("Concepts", text, {name: shown[0] for name, (shown, _) in concepts.items()})
        by_layer = _overlaps(model, concepts)
        best: Counter[str] = Counter()
        for overlaps in by_layer.values():
            best.update(
                name for unit, name in enumerate(_names(concepts, overlaps)) if overlaps[unit].max() > MIN_OVERLAP
            )
        units = sum(map(len, by_layer.values()))
        text = (
            f"{sum(best.values())} of {units} units of {', '.join(by_layer)} detect a concept: where they fire most "
            f"and where it is overlap by more than {MIN_OVERLAP:.0%} (intersection over union). Each unit counts for "
            "its best concept."
        )
        yield bars("Units by concept", text, "units", {name: float(best[name]) for name in concepts})
        yield table(
            "The best units",
            "By overlap: 1 if a unit fires exactly where the concept is.",
            _best(by_layer, concepts),
        )


def _overlaps(model: ExplainedModel, concepts: dict[str, tuple[Array, Array]]) -> dict[str, Array]:
    """Return for each layer the overlap of each unit with each concept: (units, concepts)."""
    layers = model.network_view.convolutions
    names = [[*layers][place] for place in np.unique(np.linspace(0, len(layers) - 1, MAX_LAYERS).astype(int))]
    shown = np.concatenate([images for images, _ in concepts.values()])
    masks = np.stack([mask for _, mask in concepts.values()])
    layer_maps = model.network_view.activations(shown, [layers[name].output for name in names])
    return {name: overlaps(maps, masks) for name, maps in zip(names, layer_maps, strict=True)}


def overlaps(maps: Array, masks: Array) -> Array:
    """Return the intersection over union of units' activations and concepts' masks.

    `maps` are (concepts x images, height, width, units), `masks` (concepts, images, height, width).
    """
    size = masks.shape[2:]
    return np.stack([_of_unit(resize(maps[..., unit], size), masks) for unit in range(maps.shape[-1])])


def _of_unit(values: Array, masks: Array) -> Array:
    """Threshold a unit at its own quantile; a unit that is constant nearly everywhere fires nowhere."""
    threshold = max(float(np.quantile(values, 1 - FIRING_SHARE)), float(values.min()))
    firing = (values > threshold).reshape(masks.shape)
    intersection = np.array([(firing[place] & masks[place]).sum() for place in range(len(masks))])
    either = firing.sum() + masks.sum(axis=(1, 2, 3)) - intersection
    return np.asarray(intersection / np.maximum(either, 1))


def _names(concepts: dict[str, tuple[Array, Array]], overlaps: Array) -> list[str]:
    return [[*concepts][place] for place in overlaps.argmax(axis=1)]


def _best(by_layer: dict[str, Array], concepts: dict[str, tuple[Array, Array]]) -> list[dict[str, object]]:
    rows = [
        {"layer": layer, "unit": unit, "concept": name, "overlap": round(float(overlaps[unit].max()), 3)}
        for layer, overlaps in by_layer.items()
        for unit, name in enumerate(_names(concepts, overlaps))
    ]
    return sorted(rows, key=lambda row: -float(str(row["overlap"])))[:MAX_UNITS]
