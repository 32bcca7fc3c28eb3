"""Layers of the later Inception networks: chains of convolutions side by side, and blocks that halve the size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tiltyard.modeling.models._layers import Share, WidthScaled

if TYPE_CHECKING:
    import keras

Kernel = int | tuple[int, int]
Step = tuple[int, Kernel]  # filters and kernel of a convolution
HALVING: dict[str, Any] = {"strides": 2, "padding": "valid"}


class InceptionLayers(WidthScaled):
    """Settings and layers of Inception V3, Inception V4 and Inception-ResNet-V2."""

    modalities: ClassVar = ("image",)
    norm_scale: ClassVar = False  # the next convolution can scale its inputs, since a rectifier lies between
    least: ClassVar[tuple[int, int]]  # pixels of the shorter side that are needed, as published and if `small`

    units: list[int] = Field([], description="Width of each dense layer after global pooling.")
    batch_norm: bool = True
    dropout: Share | list[Share] = Field(
        0.0, description="Dropout rate after global pooling and after each dense layer."
    )

    def chain(self, x: keras.KerasTensor, *steps: Step, **last: Any) -> keras.KerasTensor:
        """Add convolutions, one after another; `last` are options of the last one."""
        for place, (filters, kernel) in enumerate(steps, 1):
            x = self.convolution(x, self.scaled(filters), kernel, **(last if place == len(steps) else {}))
        return x

    def averaged(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        """Add an average over 3x3 positions, and a 1x1 convolution."""
        from keras import layers

        return self.chain(layers.AveragePooling2D(3, 1, padding="same")(x), (filters, 1))

    def halved(self, x: keras.KerasTensor, *chains: tuple[Step, ...]) -> keras.KerasTensor:
        """Halve the size by chains that end in a strided convolution, and by pooling, side by side."""
        from keras import layers

        parts = [self.chain(x, *steps, **HALVING) for steps in chains]
        return layers.Concatenate()([*parts, layers.MaxPooling2D(3, 2)(x)])

    def stem(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Add the first layers of V3 and ResNet-V2: to an eighth of the size of a large image, half of a small one."""
        from keras import layers

        self.check_size(x)
        x = self.chain(x, (32, 3), strides=1 if self.small else 2, padding="valid")
        x = self.chain(self.chain(x, (32, 3), padding="valid"), (64, 3))
        x = x if self.small else layers.MaxPooling2D(3, 2)(x)
        x = self.chain(x, (80, 1), (192, 3), padding="valid")
        return layers.MaxPooling2D(3, 2)(x)

    def end(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Add global pooling and dense layers."""
        from keras import layers

        x = layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(self.apply_dropout(x, 0, 1 + len(self.units)), self.units, first=1)

    def check_size(self, images: keras.KerasTensor) -> None:
        """Raise ValueError if images are so small that nothing is left of them."""
        large, small = self.least
        height, width = images.shape[1:3]
        if min(height, width) < (small if self.small else large):
            way = "" if self.small else f", or small: true, which takes {small}x{small} or more"
            least = small if self.small else large
            raise ValueError(f"expected images of at least {least}x{least} pixels{way}; received {height}x{width}")


def joined(*parts: keras.KerasTensor) -> keras.KerasTensor:
    """Concatenate maps."""
    from keras import layers

    return layers.Concatenate()([*parts])
