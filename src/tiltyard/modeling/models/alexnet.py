"""AlexNet: five convolutions in two halves that meet in the third, then two wide dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras


class Alexnet(WidthScaled):
    """As Krizhevsky, Sutskever and Hinton drew it in 2012, but without the normalisation over neighbouring maps."""

    forms: ClassVar = ("image",)

    family: Literal["alexnet"]
    halves: bool = Field(default=True, description="Layers 2, 4 and 5 see half of the maps each, as on two cards.")
    units: list[int] = Field([4096, 4096], description="Width of each dense layer.")
    dropout: Share | list[Share] = Field(0.5, description="Behind each dense layer; or a list with one for each.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Pooling overlaps: 3x3, every second place."""
        from keras import layers

        kernel, strides = (3, 1) if self.small else (11, 4)
        x = self.convolution(features, self.scaled(96), kernel, strides=strides, padding="valid")
        x = layers.MaxPooling2D(3, 2)(x)
        x = self._two(x, self.scaled(256), 5)
        x = layers.MaxPooling2D(3, 2)(x)
        x = self.convolution(x, self.scaled(384), 3)
        x = self._two(x, self.scaled(384), 3)
        x = self._two(x, self.scaled(256), 3)
        x = layers.MaxPooling2D(3, 2)(x)
        return self.stacked(layers.Flatten()(x), self.units)

    def _two(self, x: keras.KerasTensor, filters: int, kernel: int) -> keras.KerasTensor:
        """Convolve each half of the maps by itself; a grouped convolution would not survive the export to ONNX."""
        from keras import layers

        if not self.halves:
            return self.convolution(x, filters, kernel)
        middle = x.shape[-1] // 2
        parts = [self.convolution(half, filters // 2, kernel) for half in (x[..., :middle], x[..., middle:])]
        return layers.Concatenate()(parts)
