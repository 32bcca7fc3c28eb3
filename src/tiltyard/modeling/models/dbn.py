"""Deep belief network (DBN): restricted Boltzmann machines, trained one by one, whose weights a classifier has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.models._layers import DroppedLayers
from tiltyard.modeling.models._rbm import ContrastiveDivergence

if TYPE_CHECKING:
    import keras


class Dbn(DroppedLayers):
    """Dense sigmoid layers of the given widths, of which each is pre-trained as a restricted Boltzmann machine."""

    modalities: ClassVar = ("table", "image")
    learns_without_labels: ClassVar = True

    family: Literal["dbn"]
    activation: Literal["sigmoid"] = "sigmoid"  # the hidden units of a restricted Boltzmann machine
    units: list[int] = Field([256, 256], min_length=1, max_length=10, description="Width of each hidden layer.")
    pretrain: ContrastiveDivergence = Field(
        default_factory=lambda: ContrastiveDivergence.model_validate({}),
        description="How each layer is trained without labels, before all of them are trained with labels.",
    )

    @model_validator(mode="after")
    def _check_layers(self) -> Dbn:
        if self.batch_norm:
            raise ValueError("batch_norm: expected false, since it would change what pre-training has learned")
        return self

    def columns_error(self, columns: Mapping[str, Column]) -> str:
        """Refuse numbers as probabilities."""
        if self.pretrain.visible == "bernoulli" and any(column.type != "image" for column in columns.values()):
            return "model.pretrain.visible: expected gaussian for columns of a table; received bernoulli"
        return ""

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build: flatten, then one dense layer for each width."""
        from keras import layers

        return self.add_dense_layers(layers.Flatten()(self.drop_inputs(features)), self.units)

    def hidden_layers(self, body: keras.Model) -> list[Any]:
        """Return the dense layers that are pre-trained, in order."""
        from keras import layers

        return [layer for layer in body.layers if isinstance(layer, layers.Dense) and layer.name != "output"]
