"""MobileNet (v1): each convolution is a depthwise one, which filters each map, and a 1x1 one, which mixes the maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras

# Filters and stride of each block.
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1),) * 5,
    *((1024, 2), (1024, 1)),
)


class Mobilenet(WidthScaled):
    """The network of Howard et al. (2017); `width` is its multiplier alpha, and images of any size are read."""

    modalities: ClassVar = ("image",)

    family: Literal["mobilenet"]
    units: list[int] = Field([], description="Width of each dense layer after global pooling.")
    batch_norm: bool = True
    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate after global pooling and after each dense layer."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build a convolution and 13 blocks; together they halve the size five times, or four times if `small`."""
        from keras import layers

        x = self.convolution(features, self.scaled(32), 3, strides=1 if self.small else 2)
        for filters, strides in BLOCKS:
            x = self._block(x, self.scaled(filters), strides)
        x = layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(self.apply_dropout(x, 0, 1 + len(self.units)), self.units, first=1)

    def _block(self, x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
        """Add a depthwise and a pointwise convolution."""
        from keras import layers

        options = {"strides": strides, "padding": "same", "use_bias": not self.batch_norm}
        x = layers.DepthwiseConv2D(3, **options, **self.weights("depthwise", incoming=3))(x)
        return self.convolution(self.finish_convolution(x), filters, 1)
