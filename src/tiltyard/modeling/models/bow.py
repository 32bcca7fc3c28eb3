"""Bag of words: the mean of word embeddings, then dense layers; word order is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._layers import DenseLayers, Share

if TYPE_CHECKING:
    import keras


class Bow(DenseLayers):
    """An embedding, averaged over the words of a text."""

    modalities: ClassVar = ("text",)

    family: Literal["bow"]
    embedding: int = Field(32, ge=1, description="Length of a word vector.")
    units: list[int] = Field([32], description="Width of each dense layer after the mean.")
    dropout: Share | list[Share] = Field(0.0, description="Dropout rate after the mean and after each dense layer.")

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the layers; padding (id 0) is not averaged, and the encoder ensures that no text is all padding."""
        from keras import layers

        x = layers.Embedding(vocabulary_size, self.embedding, mask_zero=True)(features)
        x = layers.GlobalAveragePooling1D()(x)
        x = self.apply_dropout(x, 0, 1 + len(self.units))
        return self.add_dense_layers(x, self.units, first=1)
