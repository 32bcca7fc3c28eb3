"""Inception-ResNet-V2: blocks of parallel convolutions whose sum is added to their input, at a small scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._inception import InceptionLayers, Step, joined
from tiltyard.modeling.models._layers import Share

if TYPE_CHECKING:
    import keras

# The chains of a residual block of each group, and the share of their result that is added.
BLOCK_35: tuple[tuple[Step, ...], ...] = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
BLOCK_17: tuple[tuple[Step, ...], ...] = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
BLOCK_8: tuple[tuple[Step, ...], ...] = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))
SCALES = (0.17, 0.1, 0.2)


class InceptionResnetV2(InceptionLayers):
    """The network of Szegedy, Ioffe, Vanhoucke and Alemi (2016)."""

    least: ClassVar = (75, 21)

    family: Literal["inception_resnet_v2"]
    blocks: tuple[int, int, int] = Field(
        (10, 20, 10), strict=False, description="Number of residual blocks of each of the three groups."
    )
    dropout: Share | list[Share] = Field(
        0.2, description="Dropout rate after global pooling and after each dense layer."
    )

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build three groups of residual blocks; a block that halves the size lies between two groups."""
        x = self.stem(features)
        x = joined(
            self.chain(x, (96, 1)),
            self.chain(x, (48, 1), (64, 5)),
            self.chain(x, (64, 1), (96, 3), (96, 3)),
            self.averaged(x, 64),
        )
        x = self._residual_blocks(x, 0, BLOCK_35)
        x = self.halved(x, ((384, 3),), ((256, 1), (256, 3), (384, 3)))
        x = self._residual_blocks(x, 1, BLOCK_17)
        x = self.halved(x, ((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)))
        x = self._residual_blocks(x, 2, BLOCK_8)
        return self.end(self.chain(x, (1536, 1)))

    def _residual_blocks(
        self, x: keras.KerasTensor, group: int, chains: tuple[tuple[Step, ...], ...]
    ) -> keras.KerasTensor:
        """Add the blocks of a group; the very last block adds all of its result, and has no activation."""
        for place in range(self.blocks[group]):
            last = group == 2 and place + 1 == self.blocks[group]
            x = self._added(x, chains, 1.0 if last else SCALES[group])
            x = x if last else self.apply_activation(x)
        return x

    def _added(self, x: keras.KerasTensor, chains: tuple[tuple[Step, ...], ...], scale: float) -> keras.KerasTensor:
        """Add to the maps what chains and a 1x1 convolution, with a bias and without batch norm, make of them."""
        from keras import layers

        result = joined(*(self.chain(x, *steps) for steps in chains))
        return x + scale * layers.Conv2D(x.shape[-1], 1, **self.weights(incoming=3))(result)
