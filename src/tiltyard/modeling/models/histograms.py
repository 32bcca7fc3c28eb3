"""Histograms of colours and edges, then dense layers: for a few dozen images of each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._histograms import counts, counts_by_place
from tiltyard.modeling.models._layers import DenseLayers

if TYPE_CHECKING:
    import keras


PLACES = 0.3  # scale of counts by place: they are many, and a penalty or early stopping bounds small features more


class Histograms(DenseLayers):
    """Dense layers on histograms that are computed in the graph, so that the service needs only the image."""

    modalities: ClassVar = ("image",)

    family: Literal["histograms"]
    places: bool = Field(
        default=True,
        description="Count colours and edges by cell of a grid, too: objects in the same position need it.",
    )
    units: list[int] = Field([], description="Width of each dense layer after the histograms; none: a linear model.")

    @property
    def unsuited_references(self) -> tuple[str, ...]:
        """Counts by place if they do not matter: few validation rows would take them by chance."""
        return () if self.places else ("image_grids",)

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the histograms, scaled within each image, then the dense layers."""
        from keras import layers, ops

        x = layers.LayerNormalization(dtype="float32")(counts(features, ops))
        if self.places:
            local = layers.LayerNormalization(dtype="float32")(counts_by_place(features, ops))
            x = layers.Concatenate()([x, layers.Rescaling(PLACES, dtype="float32")(local)])
        return self.add_dense_layers(x, self.units)
