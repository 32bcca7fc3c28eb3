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
        for place, filters in enumerate((128, 256, 728)):
            x = self._halving(x, filters, filters, first=place == 0)
        for _ in range(self.blocks):
            x = layers.Add()([x, self._separable(x, 728, 728, 728)])
        x = self._halving(x, 728, 1024)
        for filters in (1536, 2048):
            x = self.activated(self._convolved(x, filters))
        x = layers.GlobalAveragePooling2D()(x)
        return self.stacked(self.dropped(x, 0, 1 + len(self.units)), self.units, before=1)

    def _halving(self, x: keras.KerasTensor, *filters: int, first: bool = False) -> keras.KerasTensor:
        """Add a residual block that halves the size: two convolutions and pooling, with a strided shortcut."""
        from keras import layers

        short = self.convolution(x, self.scaled(filters[-1]), 1, strides=2, active=False)
        # the input of the first block is activated already
        x = self._separable(self._convolved(x, filters[0]), *filters[1:]) if first else self._separable(x, *filters)
        return layers.Add()([layers.MaxPooling2D(3, 2, padding="same")(x), short])

    def _separable(self, x: keras.KerasTensor, *filters: int) -> keras.KerasTensor:
        """Add an activation and a separable convolution for each number of filters."""
        for count in filters:
            x = self._convolved(self.activated(x), count)
        return x

    def _convolved(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        from keras import layers

        weights = self.weights("depthwise", "pointwise", incoming=3)
        bias = not self.batch_norm
        x = layers.SeparableConv2D(self.scaled(filters), 3, padding="same", use_bias=bias, **weights)(x)
        return self.finished(x, active=False)
