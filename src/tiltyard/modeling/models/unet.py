"""U-Net (Ronneberger et al. 2015): convolutions down to small maps, and up again with maps of the same size beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import ConvLayers

if TYPE_CHECKING:
    import keras


class Unet(ConvLayers):
    """Two convolutions at each size; a probability of each label for each pixel."""

    modalities: ClassVar = ("image",)
    problems: ClassVar = ("segmentation",)

    family: Literal["unet"]
    filters: list[int] = Field(
        [16, 32, 64, 128], min_length=2, max_length=6, description="Filters at each size, each half of the one before."
    )
    batch_norm: bool = Field(default=True, description="Batch normalisation after each convolution.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the way down and the way up."""
        from keras import layers

        factor = 2 ** (len(self.filters) - 1)
        if len(features.shape) != 4 or any(side % factor for side in features.shape[1:3]):
            raise ValueError(
                f"expected height and width that are multiples of {factor}, for {len(self.filters)} filters"
            )
        x, beside = features, []
        for filters in self.filters[:-1]:
            x = self._pair(x, filters)
            beside.append(x)
            x = layers.MaxPooling2D(2)(x)
        x = self._pair(x, self.filters[-1])
        for filters, maps in zip(self.filters[-2::-1], beside[::-1], strict=True):
            x = layers.UpSampling2D(2)(self.convolution(x, filters, 1))
            x = self._pair(layers.Concatenate()([maps, x]), filters)
        return x

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer: a probability of each label for each pixel."""
        from keras import layers

        return layers.Conv2D(units, 1, activation=activation, dtype="float32", name="output")(x)

    @property
    def one_output_layer(self) -> bool:
        """False: it has outputs for each pixel."""
        return False

    def _pair(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        return self.convolution(self.convolution(x, filters, 3), filters, 3)
