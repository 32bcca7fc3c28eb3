"""Network dissection: which units of convolutions find something that has a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.heatmap import enlarged
from tiltyard.explain.methods.base import Explained, OfMaps
from tiltyard.figures import Figure, bars, pictures, table

TOP = 0.01  # share of all places at which a unit counts as firing
FINDS = 0.04  # intersection over union from which on it is a detector, as in the paper
LAYERS = 3  # that are looked at: the last, the first and one between
BEST = 12  # units that are listed


class Dissection(OfMaps):
    """Drawn concepts go through the network; where a unit fires most is held against where the concept is."""

    title: ClassVar = "units that find something with a name"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """The concepts, then how many units find each, then the best units."""
        from tiltyard.explain.math.synthetic_concepts import drawn

        concepts = drawn(model.known[0].shape[1:], model.generator)
        text = "Drawn pictures of what is looked for; it is known which pixels show it."
        yield pictures("Concepts", text, {name: shown[0] for name, (shown, _) in concepts.items()})
        found = _overlaps(model, concepts)
        best: Counter[str] = Counter()
        for overlaps in found.values():
            best.update(name for unit, name in enumerate(_names(concepts, overlaps)) if overlaps[unit].max() > FINDS)
        units = sum(map(len, found.values()))
        text = (
            f"{sum(best.values())} of {units} units of {', '.join(found)} find a concept: where they fire most and "
            f"where it is overlap by more than {FINDS:.0%} of both together. Each counts for the one it finds best."
        )
        yield bars("Units by concept", text, "units", {name: float(best[name]) for name in concepts})
        yield table(
            "The best units", "By overlap: 1 if a unit fired just where the concept is.", _best(found, concepts)
        )


def _overlaps(model: Explained, concepts: dict[str, tuple[Array, Array]]) -> dict[str, Array]:
    """Return by layer how well each unit finds each concept: (units, concepts)."""
    layers = model.inside.convolutions
    names = [[*layers][place] for place in np.unique(np.linspace(0, len(layers) - 1, LAYERS).astype(int))]
    shown = np.concatenate([pictures for pictures, _ in concepts.values()])
    masks = np.stack([mask for _, mask in concepts.values()])
    seen = model.inside.see(shown, [layers[name].output for name in names])
    return {name: overlaps(maps, masks) for name, maps in zip(names, seen, strict=True)}


def overlaps(maps: Array, masks: Array) -> Array:
    """Return intersection over union of where units fire and of concepts' pixels.

    `maps` are (concepts x times, height, width, units), `masks` (concepts, times, height, width).
    """
    size = masks.shape[2:]
    return np.stack([_of_unit(enlarged(maps[..., unit], size), masks) for unit in range(maps.shape[-1])])


def _of_unit(values: Array, masks: Array) -> Array:
    """Cut off at the unit's own quantile; one that is the same nearly everywhere fires nowhere."""
    cut = max(float(np.quantile(values, 1 - TOP)), float(values.min()))
    fires = (values > cut).reshape(masks.shape)
    both = np.array([(fires[place] & masks[place]).sum() for place in range(len(masks))])
    either = fires.sum() + masks.sum(axis=(1, 2, 3)) - both
    return np.asarray(both / np.maximum(either, 1))


def _names(concepts: dict[str, tuple[Array, Array]], overlaps: Array) -> list[str]:
    return [[*concepts][place] for place in overlaps.argmax(axis=1)]


def _best(found: dict[str, Array], concepts: dict[str, tuple[Array, Array]]) -> list[dict[str, object]]:
    rows = [
        {"layer": layer, "unit": unit, "concept": name, "overlap": round(float(overlaps[unit].max()), 3)}
        for layer, overlaps in found.items()
        for unit, name in enumerate(_names(concepts, overlaps))
    ]
    return sorted(rows, key=lambda row: -float(str(row["overlap"])))[:BEST]
