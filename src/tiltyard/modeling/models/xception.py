"""Xception: depthwise separable convolutions with residual connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras


class Xception(WidthScaled):
    """The network of Chollet (2016)."""

    modalities: ClassVar = ("image",)

    family: Literal["xception"]
    blocks: int = Field(8, ge=0, description="Number of blocks of the middle flow, which keep the size.")
    units: list[int] = Field([], description="Width of each dense layer after global pooling.")
    batch_norm: bool = True
    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate after global pooling and after each dense layer."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build entry flow (three halving blocks), middle flow, and exit flow (a halving block, two convolutions)."""
        from keras import layers

        x = self.convolution(features, self.scaled(32), 3, strides=1 if self.small else 2, padding="valid")
        x = self.convolution(x, self.scaled(64), 3, padding="valid")
        for index, filters in enumerate((128, 256, 728)):
            x = self._halving_block(x, filters, filters, first=index == 0)
        for _ in range(self.blocks):
            x = layers.Add()([x, self._separable_convolutions(x, 728, 728, 728)])
        x = self._halving_block(x, 728, 1024)
        for filters in (1536, 2048):
            x = self.apply_activation(self._separable_convolution(x, filters))
        x = layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(self.apply_dropout(x, 0, 1 + len(self.units)), self.units, first=1)

    def _halving_block(self, x: keras.KerasTensor, *filters: int, first: bool = False) -> keras.KerasTensor:
        """Add a residual block that halves the size: two convolutions and pooling, with a strided shortcut."""
        from keras import layers

        shortcut = self.convolution(x, self.scaled(filters[-1]), 1, strides=2, activate=False)
        for index, count in enumerate(filters):
            x = x if first and index == 0 else self.apply_activation(x)  # the first block reads activated maps
            x = self._separable_convolution(x, count)
        return layers.Add()([layers.MaxPooling2D(3, 2, padding="same")(x), shortcut])

    def _separable_convolutions(self, x: keras.KerasTensor, *filters: int) -> keras.KerasTensor:
        """Add an activation and a separable convolution for each number of filters."""
        for count in filters:
            x = self._separable_convolution(self.apply_activation(x), count)
        return x

    def _separable_convolution(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        from keras import layers

        weights = self.weights("depthwise", "pointwise", incoming=3)
        use_bias = not self.batch_norm
        x = layers.SeparableConv2D(self.scaled(filters), 3, padding="same", use_bias=use_bias, **weights)(x)
        return self.finish_convolution(x, activate=False)
