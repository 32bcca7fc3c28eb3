"""Feature visualisation: what the units of convolutions look for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.activation_maximization import PIXELS, maximize
from tiltyard.explain.math.heatmap import diverging
from tiltyard.explain.methods.base import Explained, OfMaps
from tiltyard.figures import Figure, pictures

if TYPE_CHECKING:
    from tiltyard.explain.math.keras_graph import Hidden

UNITS, LAYERS, KERNELS = 8, 4, 32  # that are shown: of a layer, of a network, of the first layer


class Features(OfMaps):
    """The kernels of the first layer as they are, and for units of each layer the picture that excites them."""

    title: ClassVar = "what convolutions look for"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """The first kernels, then some units of each layer."""
        layers = model.inside.convolutions
        first, *_ = layers.values()
        if found := _kernels(first):
            text = "The weights of the first convolution: bright is what a unit adds up, dark what it takes off."
            yield pictures("Kernels of the first layer", text, found)
        places = np.unique(np.linspace(0, len(layers) - 1, min(LAYERS, len(layers))).astype(int))
        for place in places:
            name = [*layers][place]
            units, excited = excite(model, layers[name])
            shown = {unit: diverging(one - PIXELS.middle) for unit, one in zip(units, excited, strict=True)}
            text = (
                f"Pictures made from noise so that single units of {name} fire as much as they can; the units with the "
                "most varied answers on validation rows. Contrast is stretched."
            )
            yield pictures(f"What units of {name} look for", text, shown)


def _kernels(layer: Hidden) -> dict[str, Array]:
    """Return each kernel as a picture; of many input maps the mean."""
    kernel = np.asarray(layer.layer.weights[0])
    if kernel.ndim != 4 or min(kernel.shape[:2]) < 2:
        return {}
    shown = np.moveaxis(kernel, -1, 0)[:KERNELS]
    shown = shown if shown.shape[-1] in (1, 3) else shown.mean(axis=-1, keepdims=True)
    return {f"unit {number}": diverging(one) for number, one in enumerate(shown)}


def excite(model: Explained, layer: Hidden) -> tuple[list[str], Array]:
    """Climb for the units whose answers differ most from picture to picture."""
    units = _lively(model, layer)
    slopes = _slopes(model, layer)
    shape = (len(units), *model.known[0].shape[1:])
    found = maximize(shape, lambda x: slopes(x, units)[1], PIXELS, model.generator)
    return [f"unit {unit}" for unit in units.tolist()], found


def _lively(model: Explained, layer: Hidden) -> Array:
    (maps,) = model.inside.see(model.known[0], [layer.drive])
    order = np.argsort(-maps.max(axis=(1, 2)).std(axis=0), kind="stable")
    return np.sort(order[:UNITS]).astype(np.int32)


def _slopes(model: Explained, layer: Hidden) -> Any:
    """Return the slope of how much a unit fires, before anything is cut off: what fires nowhere must find a way up."""
    from tiltyard.explain.math.gradients import value_and_gradient
    from tiltyard.explain.math.network_view import fired

    return value_and_gradient(fired(model.inside.part(layer.drive)))
