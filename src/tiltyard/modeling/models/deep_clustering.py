"""Deep clustering: k-means on the codes of an autoencoder, then codes that move towards the centres (DEC)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, model_validator

from tiltyard.modeling.models.autoencoder import Autoencoder
from tiltyard.modeling.models.base import Model
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import keras

OF_AUTOENCODER = ("kind", "units", "filters", "code")


class Refinement(Settings):
    """How codes and centres are refined together after k-means (Xie et al., 2016; Guo et al., 2017)."""

    epochs: int = Field(10, ge=0, le=1000, description="At most so many passes; 0 leaves the clusters of k-means.")
    learning_rate: float = Field(0.001, gt=0, description="Of Adam.")
    reconstruction: float = Field(
        1.0, ge=0, description="Weight of the squared error of the reconstruction, which keeps codes meaningful."
    )
    weight: float = Field(0.1, gt=0, description="Weight of the divergence of memberships from sharper ones.")
    tolerance: float = Field(0.001, ge=0, lt=1, description="It ends if a smaller share of rows changes its cluster.")


class DeepClustering(Model):
    """The layers of an autoencoder, whose code has a centre for each cluster."""

    modalities: ClassVar = ("table", "image")
    one_output_layer: ClassVar = False

    family: Literal["deep_clustering"]
    clusters: int = Field(10, ge=2, le=1000, description="How many clusters.")
    starts: int = Field(20, ge=1, le=1000, description="Starts of k-means on the codes; the best is kept.")
    kind: Literal["dense", "conv"] = Field("dense", description="Layers before and after the code; conv for images.")
    units: list[int] = Field([128], description="dense: width of each layer before the code; reversed after it.")
    filters: list[int] = Field(
        [16, 32], min_length=1, max_length=6, description="conv: filters of each convolution, with stride 2."
    )
    code: int = Field(10, ge=1, le=1024, description="How many numbers the code has.")
    refine: Refinement = Field(default_factory=lambda: Refinement.model_validate({}))

    _autoencoder: Autoencoder = PrivateAttr()

    @model_validator(mode="after")
    def _build_autoencoder(self) -> DeepClustering:
        fields = {name: getattr(self, name) for name in OF_AUTOENCODER if name in self.model_fields_set}
        settings: dict[str, Any] = {"family": "autoencoder", "output": self.output, "code": self.code, **fields}
        self._autoencoder = Autoencoder.model_validate(settings)
        return self

    @property
    def cluster_count(self) -> int:
        """The number of clusters."""
        return self.clusters

    @property
    def autoencoder(self) -> Autoencoder:
        """The settings of its autoencoder."""
        return self._autoencoder

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the autoencoder up to its last hidden layer."""
        return self._autoencoder.build(features, vocabulary_size)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer of the autoencoder."""
        return self._autoencoder.head(x, units, activation)
