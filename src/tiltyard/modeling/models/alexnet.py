"""AlexNet: five convolutions, some of them grouped in two halves, then two wide dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras


class Alexnet(WidthScaled):
    """The network of Krizhevsky, Sutskever and Hinton (2012), without local response normalisation."""

    modalities: ClassVar = ("image",)

    family: Literal["alexnet"]
    halves: bool = Field(default=True, description="Grouped convolutions in layers 2, 4 and 5, as on two GPUs.")
    units: list[int] = Field([4096, 4096], description="Width of each dense layer.")
    dropout: Share | list[Share] = Field(
        0.5, description="Dropout rate after each dense layer, or a list with one rate for each."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers; pooling overlaps: 3x3 with a stride of 2."""
        from keras import layers

        kernel, strides = (3, 1) if self.small else (11, 4)
        x = self.convolution(features, self.scaled(96), kernel, strides=strides, padding="valid")
        x = layers.MaxPooling2D(3, 2)(x)
        x = self._grouped_convolution(x, self.scaled(256), 5)
        x = layers.MaxPooling2D(3, 2)(x)
        x = self.convolution(x, self.scaled(384), 3)
        x = self._grouped_convolution(x, self.scaled(384), 3)
        x = self._grouped_convolution(x, self.scaled(256), 3)
        x = layers.MaxPooling2D(3, 2)(x)
        return self.add_dense_layers(layers.Flatten()(x), self.units)

    def _grouped_convolution(self, x: keras.KerasTensor, filters: int, kernel: int) -> keras.KerasTensor:
        """Convolve each half of the maps separately; grouped convolutions cannot be exported to ONNX."""
        from keras import layers

        if not self.halves:
            return self.convolution(x, filters, kernel)
        middle = x.shape[-1] // 2
        parts = [self.convolution(half, filters // 2, kernel) for half in (x[..., :middle], x[..., middle:])]
        return layers.Concatenate()(parts)
