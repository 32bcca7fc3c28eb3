"""Residual networks (ResNet): blocks with skip connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras


class Resnet(WidthScaled):
    """The networks of He et al. (2015): ResNet-50 by default; those for CIFAR-10 with `small` and other blocks."""

    modalities: ClassVar = ("image",)

    family: Literal["resnet"]
    blocks: list[int] = Field(
        [3, 4, 6, 3], min_length=1, description="Blocks of each stage; all stages but the first halve the size."
    )
    filters: int = Field(64, ge=1, description="Filters of the first stage; each further one has twice as many.")
    bottleneck: bool = Field(
        default=True, description="Blocks of 1x1, 3x3 and 1x1 to four times the filters; else of 3x3 and 3x3."
    )
    units: list[int] = Field([], description="Width of each dense layer after global pooling.")
    batch_norm: bool = True
    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate after global pooling and after each dense layer."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build stages of blocks, then global average pooling and dense layers."""
        from keras import layers

        filters = self.scaled(self.filters)
        kernel, strides = (3, 1) if self.small else (7, 2)
        x = self.convolution(features, filters, kernel, strides=strides, use_bias=True)
        x = x if self.small else layers.MaxPooling2D(3, 2, padding="same")(x)
        for stage, blocks in enumerate(self.blocks):
            for index in range(blocks):
                halves = stage > 0 and index == 0
                x = self._block(x, filters * 2**stage, strides=2 if halves else 1)
        x = layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(self.apply_dropout(x, 0, 1 + len(self.units)), self.units, first=1)

    def _block(self, x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
        """Add a residual block; a 1x1 convolution adapts the shape of the shortcut if necessary."""
        from keras import layers

        width = 4 * filters if self.bottleneck else filters
        kernels = ((filters, 1), (filters, 3), (width, 1)) if self.bottleneck else ((filters, 3), (width, 3))
        residual = x
        for index, (count, kernel) in enumerate(kernels, start=1):
            step, activate = strides if index == 1 else 1, index < len(kernels)
            # convolutions have biases even before batch norm, as in the original, whose parameter count a test compares
            residual = self.convolution(residual, count, kernel, strides=step, activate=activate, use_bias=True)
        if strides > 1 or x.shape[-1] != width:
            x = self.convolution(x, width, 1, strides=strides, activate=False, use_bias=True)
        return self.apply_activation(layers.Add()([x, residual]))
