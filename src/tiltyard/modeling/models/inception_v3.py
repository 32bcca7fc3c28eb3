"""Inception V3: parallel convolutions, the large ones factorised into 1x7 and 7x1 or into several of 3x3."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from tiltyard.modeling.models._inception import InceptionLayers, joined

if TYPE_CHECKING:
    import keras

AFTER_POOLING = (32, 64, 64)  # filters after the average of each block of 35x35 positions
NARROW = (128, 160, 160, 192)  # filters within each block of 17x17 positions


class InceptionV3(InceptionLayers):
    """The network of Szegedy et al. (2015), without the auxiliary classifier."""

    least: ClassVar = (75, 21)

    family: Literal["inception_v3"]

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build three groups of blocks; a block that halves the size lies between two groups."""
        x = self.stem(features)
        for filters in AFTER_POOLING:
            x = self._block_35(x, filters)
        x = self.halved(x, ((384, 3),), ((64, 1), (96, 3), (96, 3)))
        for filters in NARROW:
            x = self._block_17(x, filters)
        x = self.halved(x, ((192, 1), (320, 3)), ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)))
        for _ in range(2):
            x = self._block_8(x)
        return self.end(x)

    def _block_35(self, x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
        return joined(
            self.chain(x, (64, 1)),
            self.chain(x, (48, 1), (64, 5)),
            self.chain(x, (64, 1), (96, 3), (96, 3)),
            self.averaged(x, filters),
        )

    def _block_17(self, x: keras.KerasTensor, narrow: int) -> keras.KerasTensor:
        row, column = (1, 7), (7, 1)
        return joined(
            self.chain(x, (192, 1)),
            self.chain(x, (narrow, 1), (narrow, row), (192, column)),
            self.chain(x, (narrow, 1), (narrow, column), (narrow, row), (narrow, column), (192, row)),
            self.averaged(x, 192),
        )

    def _block_8(self, x: keras.KerasTensor) -> keras.KerasTensor:
        short, long = self.chain(x, (384, 1)), self.chain(x, (448, 1), (384, 3))
        return joined(
            self.chain(x, (320, 1)),
            *(self.chain(part, (384, kernel)) for part in (short, long) for kernel in ((1, 3), (3, 1))),
            self.averaged(x, 192),
        )
