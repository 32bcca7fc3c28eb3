"""Inception V4: more and more uniform blocks than V3, and a first part that branches, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._inception import HALVING, InceptionLayers, joined
from tiltyard.modeling.models._layers import Share

if TYPE_CHECKING:
    import keras

ROW, COLUMN = (1, 7), (7, 1)


class InceptionV4(InceptionLayers):
    """The network of Szegedy, Ioffe, Vanhoucke and Alemi (2016)."""

    norm_scale: ClassVar = True
    least: ClassVar = (75, 21)

    family: Literal["inception_v4"]
    blocks: tuple[int, int, int] = Field(
        (4, 7, 3), strict=False, description="Number of blocks of each of the three groups."
    )
    dropout: Share | list[Share] = Field(
        0.2, description="Dropout rate after global pooling and after each dense layer."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build three groups of blocks; a block that halves the size lies between two groups."""
        x = self._stem(features)
        for _ in range(self.blocks[0]):
            x = self._block_35(x)
        x = self.halved(x, ((384, 3),), ((192, 1), (224, 3), (256, 3)))
        for _ in range(self.blocks[1]):
            x = self._block_17(x)
        x = self.halved(x, ((192, 1), (192, 3)), ((256, 1), (256, ROW), (320, COLUMN), (320, 3)))
        for _ in range(self.blocks[2]):
            x = self._block_8(x)
        return self.end(x)

    def _stem(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Add the first layers: they reduce a large image to an eighth of its size, a small one to half."""
        from keras import layers

        self.check_size(x)
        halving = {"padding": "same"} if self.small else HALVING
        x = self.chain(x, (32, 3), strides=1 if self.small else 2, padding="valid")
        x = self.chain(self.chain(x, (32, 3), padding="valid"), (64, 3))
        pooled = layers.MaxPooling2D(3, 1, padding="same") if self.small else layers.MaxPooling2D(3, 2)
        x = joined(pooled(x), self.chain(x, (96, 3), **halving))
        x = joined(
            self.chain(x, (64, 1), (96, 3), padding="valid"),
            self.chain(x, (64, 1), (64, COLUMN), (64, ROW), (96, 3), padding="valid"),
        )
        return joined(self.chain(x, (192, 3), **HALVING), layers.MaxPooling2D(3, 2)(x))

    def _block_35(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return joined(
            self.averaged(x, 96),
            self.chain(x, (96, 1)),
            self.chain(x, (64, 1), (96, 3)),
            self.chain(x, (64, 1), (96, 3), (96, 3)),
        )

    def _block_17(self, x: keras.KerasTensor) -> keras.KerasTensor:
        return joined(
            self.averaged(x, 128),
            self.chain(x, (384, 1)),
            self.chain(x, (192, 1), (224, ROW), (256, COLUMN)),
            self.chain(x, (192, 1), (192, ROW), (224, COLUMN), (224, ROW), (256, COLUMN)),
        )

    def _block_8(self, x: keras.KerasTensor) -> keras.KerasTensor:
        short, long = self.chain(x, (384, 1)), self.chain(x, (384, 1), (448, (1, 3)), (512, (3, 1)))
        return joined(
            self.averaged(x, 256),
            self.chain(x, (256, 1)),
            *(self.chain(part, (256, kernel)) for part in (short, long) for kernel in ((1, 3), (3, 1))),
        )
