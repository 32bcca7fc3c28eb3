"""Feature visualization: the kernels of the first convolution, and images that maximize single units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.activation_maximization import PIXELS, maximize
from tiltyard.explain.math.heatmap import diverging
from tiltyard.explain.methods.base import ConvolutionMethod, ExplainedModel
from tiltyard.figures import Figure, image_figure

if TYPE_CHECKING:
    from tiltyard.explain.math.keras_graph import HiddenLayer

MAX_UNITS, MAX_LAYERS, MAX_KERNELS = 8, 4, 32  # shown: units of a layer, layers, kernels of the first layer


class Features(ConvolutionMethod):
    """Show the kernels of the first layer, and for some units of each layer the image that activates them most."""

    title: ClassVar = "feature visualization of convolutions"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield the first kernels, then some units of each layer."""
        layers = model.network_view.convolutions
        first, *_ = layers.values()
        if kernels := _kernels(first):
            text = "The weights of the first convolution: bright is positive, dark negative."
            yield image_figure("Kernels of the first layer", text, kernels)
        places = np.unique(np.linspace(0, len(layers) - 1, min(MAX_LAYERS, len(layers))).astype(int))
        for place in places:
            name = [*layers][place]
            units, optimized = maximize_units(model, layers[name])
            images = {unit: diverging(image - PIXELS.middle) for unit, image in zip(units, optimized, strict=True)}
            text = (
                f"Images optimized from noise so that single units of {name} are as active as possible; the units "
                "whose activations vary most on validation rows. Contrast is stretched."
            )
            yield image_figure(f"Units of {name}, maximized", text, images)


def _kernels(layer: HiddenLayer) -> dict[str, Array]:
    """Return each kernel as an image; kernels of many input channels by their mean."""
    kernel = np.asarray(layer.layer.weights[0])
    if kernel.ndim != 4 or min(kernel.shape[:2]) < 2:
        return {}
    images = np.moveaxis(kernel, -1, 0)[:MAX_KERNELS]
    images = images if images.shape[-1] in (1, 3) else images.mean(axis=-1, keepdims=True)
    return {f"unit {number}": diverging(image) for number, image in enumerate(images)}


def maximize_units(model: ExplainedModel, layer: HiddenLayer) -> tuple[list[str], Array]:
    """Maximize the units whose activations vary most between images."""
    units = _most_varied(model, layer)
    gradient = _unit_gradient(model, layer)
    shape = (len(units), *model.validation[0].shape[1:])
    images = maximize(shape, lambda x: gradient(x, units)[1], PIXELS, model.generator)
    return [f"unit {unit}" for unit in units.tolist()], images


def _most_varied(model: ExplainedModel, layer: HiddenLayer) -> Array:
    (maps,) = model.network_view.activations(model.validation[0], [layer.preactivation])
    order = np.argsort(-maps.max(axis=(1, 2)).std(axis=0), kind="stable")
    return np.sort(order[:MAX_UNITS]).astype(np.int32)


def _unit_gradient(model: ExplainedModel, layer: HiddenLayer) -> Any:
    """Return the gradient before the activation function: an inactive unit has no gradient after a ReLU."""
    from tiltyard.explain.math.gradients import value_and_gradient
    from tiltyard.explain.math.network_view import mean_activation

    return value_and_gradient(mean_activation(model.network_view.submodel(layer.preactivation)))
