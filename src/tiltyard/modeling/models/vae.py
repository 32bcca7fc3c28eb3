"""Variational autoencoder: a code with a distribution, and a decoder that draws new rows from codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import DenseLayers

if TYPE_CHECKING:
    import keras


class Vae(DenseLayers):
    """Dense layers to mean and variance of the code, and the same in reverse order to the probability of each pixel."""

    modalities: ClassVar = ("image",)
    generates: ClassVar = True
    measures: ClassVar = ("elbo", "reconstruction", "kl")
    one_output_layer: ClassVar = False

    family: Literal["vae"]
    units: list[int] = Field([500, 500], description="Width of each layer before the code; reversed after it.")
    code: int = Field(20, ge=1, le=1024, description="How many numbers the code has.")
    conditional: bool = Field(default=False, description="Also give the decoder the class, one of target.classes.")
    warm_up: int = Field(
        0, ge=0, le=10_000, description="Epochs in which the weight of the divergence from the prior rises from 0 to 1."
    )

    @property
    def code_size(self) -> int:
        """The number of numbers of the code."""
        return self.code

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers before the code."""
        return self.add_dense_layers(features, self.units)
