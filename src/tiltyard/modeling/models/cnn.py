"""Convolutional network (CNN): blocks of convolutions and pooling, then dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tiltyard.modeling.models._layers import ConvLayers, DroppedLayers, Share
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import keras

Padding = Literal["same", "valid"]


class Block(Settings):
    """Convolutions with the same number of filters, then pooling and dropout."""

    filters: int = Field(ge=1, description="Filters of each convolution.")
    convolutions: int = Field(1, ge=1, description="How many convolutions come before the pooling.")
    kernel: int | None = Field(None, ge=1, description="Kernel size; that of the model if unset.")
    padding: Padding | None = Field(None, description="Padding; that of the model if unset.")
    pool: int | Literal["none"] = Field(2, description="Pooling factor of each side, after the convolutions.")
    dropout: Share = Field(0.0, description="Dropout rate after the pooling.")


class Cnn(ConvLayers, DroppedLayers):
    """Convolutional blocks, flattened or averaged maps, then dense layers."""

    modalities: ClassVar = ("image",)

    family: Literal["cnn"]
    filters: list[int] = Field([32, 64], min_length=1, description="Filters of each block, if `blocks` is not set.")
    blocks: list[Block] = Field([], description="All settings of each block, instead of `filters`.")
    kernel: int = Field(3, ge=1, description="Kernel size of each convolution.")
    padding: Padding = Field("same", description="same: zero padding, which keeps the size; valid: none.")
    pooling: Literal["max", "average", "stochastic", "l2"] = Field(
        "max",
        description="stochastic: in training a random value, in proportion to magnitudes, and the mean weighted by "
        "them in predictions; l2: root of the mean of squares.",
    )
    ending: Literal["flatten", "average"] = Field("flatten", description="Flatten the maps, or pool them globally.")
    units: list[int] = Field([64], description="Width of each dense layer after the blocks.")

    @model_validator(mode="after")
    def _check_layout(self) -> Cnn:
        if self.blocks and "filters" in self.model_fields_set:
            raise ValueError("expected filters or blocks; received both")
        return self

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the blocks, flatten or average, then dense layers with dropout."""
        from keras import layers

        x = self.drop_inputs(features)
        for place, block in enumerate(self.blocks or [Block(filters=filters) for filters in self.filters]):
            x = self._block(x, block, place)
        x = layers.Flatten()(x) if self.ending == "flatten" else layers.GlobalAveragePooling2D()(x)
        return self.add_dense_layers(x, self.units)

    @property
    def random_in_training(self) -> bool:
        """Whether weights are dropped, or values drawn by pooling."""
        return super().random_in_training or self.pooling == "stochastic"

    def training_layer(self, layer: Any, seed: int) -> Any:
        """Return a layer that drops weights, or pooling that draws, in place of one that does not."""
        from tiltyard.modeling.models._random_layers import POOLING, StochasticPooling

        if layer.name.startswith(POOLING):
            return StochasticPooling(layer, seed)
        return super().training_layer(layer, seed)

    def _block(self, x: keras.KerasTensor, block: Block, place: int) -> keras.KerasTensor:
        from keras import layers

        for _ in range(block.convolutions):
            kernel, padding = block.kernel or self.kernel, block.padding or self.padding
            x = self.convolution(x, block.filters, kernel, padding=padding)
        x = x if block.pool == "none" else self._pooled(x, block.pool, place)
        return layers.Dropout(block.dropout)(x) if block.dropout else x

    def _pooled(self, x: keras.KerasTensor, factor: int, place: int) -> keras.KerasTensor:
        from keras import layers

        from tiltyard.modeling.models._random_layers import expected_pooling, l2_pooling

        if self.pooling == "stochastic":
            return expected_pooling(x, factor, place)
        if self.pooling == "l2":
            return l2_pooling(x, factor)
        return (layers.MaxPooling2D if self.pooling == "max" else layers.AveragePooling2D)(factor)(x)
