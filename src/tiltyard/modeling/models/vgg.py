"""VGG: a deep stack of 3x3 convolutions and pooling, then two wide dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras

FILTERS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # 16 and 19 layers with weights, dense layers included


class Vgg(WidthScaled):
    """The network of Simonyan and Zisserman (2014)."""

    modalities: ClassVar = ("image",)

    family: Literal["vgg"]
    depth: Literal[16, 19] = Field(16, description="Number of layers with weights.")
    units: list[int] = Field([4096, 4096], description="Width of each dense layer.")
    dropout: Share | list[Share] = Field(
        0.5, description="Dropout rate after each dense layer, or a list with one rate for each."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build five blocks, each of which halves the size, then dense layers."""
        from keras import layers

        x = features
        for filters, convolutions in zip(FILTERS, CONVOLUTIONS[self.depth], strict=True):
            for _ in range(convolutions):
                x = self.convolution(x, self.scaled(filters), 3)
            x = layers.MaxPooling2D(2)(x)
        return self.add_dense_layers(layers.Flatten()(x), self.units)
