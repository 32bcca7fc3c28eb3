"""k-means: as many centres as clusters, each the mean of the rows that are nearer to it than to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras


class Kmeans(Model):
    """Centres of standardised rows, found by Lloyd's algorithm without epochs."""

    modalities: ClassVar = ("table", "image")
    trained_by_epochs: ClassVar = False
    has_gradients: ClassVar = False
    one_output_layer: ClassVar = False

    family: Literal["kmeans"]
    clusters: int = Field(ge=2, le=1000, description="How many clusters.")
    starts: int = Field(10, ge=1, le=1000, description="Starts from other centres (k-means++); the best is kept.")

    @property
    def cluster_count(self) -> int:
        """The number of clusters."""
        return self.clusters

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Return the rows themselves, flat: distances are computed of them."""
        from keras import layers

        return layers.Flatten(dtype="float32")(features)
