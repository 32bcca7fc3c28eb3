"""Inception v1 (GoogLeNet): blocks of parallel convolutions with several kernel sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras

# Filters of each block: 1x1; 3x3 and 5x5, each after a 1x1 with fewer filters; 1x1 after the pooling.
BLOCKS = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class Inception(WidthScaled):
    """The network of Szegedy et al. (2014), without the two auxiliary classifiers."""

    modalities: ClassVar = ("image",)

    family: Literal["inception"]
    units: list[int] = Field([], description="Width of each dense layer after global pooling.")
    dropout: Share | list[Share] = Field(
        0.4, description="Dropout rate after global pooling and after each dense layer."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build nine blocks in three groups, with pooling between the groups."""
        from keras import layers

        x = self._stem(features)
        for index, group in enumerate(BLOCKS):
            x = layers.MaxPooling2D(3, 2, padding="same")(x) if index else x
            for filters in group:
                x = self._block(x, *map(self.scaled, filters))
        x = layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(self.apply_dropout(x, 0, 1 + len(self.units)), self.units, first=1)

    def _stem(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Add the first layers: they reduce a large image to an eighth of its size, a small one to half."""
        from keras import layers

        kernel, strides = (3, 1) if self.small else (7, 2)
        x = self.convolution(x, self.scaled(64), kernel, strides=strides)
        x = x if self.small else layers.MaxPooling2D(3, 2, padding="same")(x)
        x = self.convolution(self.convolution(x, self.scaled(64), 1), self.scaled(192), 3)
        return layers.MaxPooling2D(3, 2, padding="same")(x)

    def _block(self, x: keras.KerasTensor, *filters: int) -> keras.KerasTensor:
        """Add a block: four parallel branches on the same maps, concatenated."""
        from keras import layers

        filters_1x1, reduced_3x3, filters_3x3, reduced_5x5, filters_5x5, filters_pool = filters
        branches = [
            self.convolution(x, filters_1x1, 1),
            self.convolution(self.convolution(x, reduced_3x3, 1), filters_3x3, 3),
            self.convolution(self.convolution(x, reduced_5x5, 1), filters_5x5, 5),
            self.convolution(layers.MaxPooling2D(3, 1, padding="same")(x), filters_pool, 1),
        ]
        return layers.Concatenate()(branches)
