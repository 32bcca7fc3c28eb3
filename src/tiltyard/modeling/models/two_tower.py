"""Two towers: a vector for each user and one for each item; their product is the rating."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from tiltyard.arrays import Array
from tiltyard.modeling.models._layers import Activation, Share
from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

USER, ITEM = "user", "item"  # names of the layers that return the vectors
IDS = "ids_of_"  # first part of the names of the layers that return identifiers
START = 0.05  # standard deviation of the first vectors: products begin near 0


@dataclass(frozen=True)
class Side:
    """What a tower reads: the place of the identifier, how many there are with the unknown one, and other features."""

    place: int
    ids: int
    features: list[int]


@dataclass(frozen=True)
class Sides:
    """What both towers read, and what the loss of the ranking knows of training rows."""

    user: Side
    item: Side
    log_shares: Array  # logarithms of the shares of the rows that items have, by identifier
    relevant: float  # the lowest good rating, standardised


class TwoTower(Model):
    """Matrix factorisation with features: each tower adds up, or combines in layers, an embedding and features.

    A vector has a part for the rating, with a bias, and a part for the ranking: how probable it is that the user
    chooses the item and likes it.
    """

    modalities: ClassVar = ("table",)
    recommends: ClassVar = True

    family: Literal["two_tower"]
    units: list[int] = Field([], description="Width of each hidden layer of a tower; none: embedding plus features.")
    activation: Activation = Field("relu", description="Activation of the hidden layers.")
    factors: int = Field(32, ge=1, le=1024, description="Numbers of a vector whose products add up to the rating.")
    ranking_factors: int = Field(
        32, ge=1, le=1024, description="Numbers of a vector whose products add up to the score of the ranking."
    )
    ranking: float = Field(
        0.3, ge=0, le=100, description="Weight of the loss of the ranking, a softmax over the items of a batch."
    )
    score: Literal["dot", "cosine"] = Field(
        "dot", description="cosine: vectors have length 1, and their products are scaled by a learned number."
    )
    dropout: Share = Field(0.0, description="Dropout rate of the vectors.")
    l2: float = Field(0.0, ge=0, description="Weight of the squared vectors and biases of the rows of a batch.")
    unknown: Share = Field(
        0.05, description="Share of identifiers that are replaced in training by the unknown one, whose vector it is."
    )

    _sides: Sides | None = PrivateAttr(None)

    def locate_sides(self, sides: Sides) -> None:
        """Receive what both towers read, before `build`."""
        self._sides = sides

    @property
    def sides(self) -> Sides:
        """What both towers read."""
        if self._sides is None:
            raise ValueError("call locate_sides before build: it says which features are those of users and items")
        return self._sides

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build both towers; return their vectors side by side."""
        from keras import layers

        sides = {USER: self.sides.user, ITEM: self.sides.item}
        towers = [self._tower(features, name, side) for name, side in sides.items()]
        return layers.Concatenate(dtype="float32")(towers)

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the product of the vectors and both biases: the rating."""
        from keras import layers, ops

        user, item = x[:, : self.width], x[:, self.width :]
        product = ops.sum(self.of_rating(user) * self.of_rating(item), axis=-1, keepdims=True)
        biases = user[:, self.factors : self.factors + 1] + item[:, self.factors : self.factors + 1]
        return layers.Activation(activation, dtype="float32", name="output")(product + biases)

    @property
    def width(self) -> int:
        """The numbers of a vector: for the rating, its bias, for the ranking, its bias."""
        return self.factors + self.ranking_factors + 2

    def of_rating(self, vector: Any) -> Any:
        """Return the part of vectors whose products add up to the rating, without the bias."""
        return vector[:, : self.factors]

    @property
    def random_in_training(self) -> bool:
        """Whether identifiers are replaced in training."""
        return self.unknown > 0

    def training_layer(self, layer: Any, seed: int) -> Any:
        """Replace a share of the identifiers, after the layer that returns them."""
        from tiltyard.modeling.models._random_layers import UnknownIds

        return UnknownIds(self.unknown, seed) if layer.name.startswith(IDS) else layer

    def _tower(self, features: keras.KerasTensor, name: str, side: Side) -> keras.KerasTensor:
        """Return the vectors of one side: rating, bias, ranking, bias."""
        from keras import layers, ops

        ids = layers.Identity(dtype="float32", name=f"{IDS}{name}")(features[:, side.place : side.place + 1])
        others = ops.take(features, side.features, axis=1) if side.features else None
        parts = []
        for size in (self.factors, self.ranking_factors):
            vector = self._combined(self._looked_up(ids, side, size, START), others, size)
            vector = self._unit_length(vector) if self.score == "cosine" else vector
            vector = layers.Dropout(self.dropout)(vector) if self.dropout else vector
            bias = self._looked_up(ids, side, 1, 0.0)
            parts += [vector, bias if others is None else bias + layers.Dense(1, kernel_initializer="zeros")(others)]
        return layers.Concatenate(dtype="float32", name=name)(parts)

    def _looked_up(self, ids: keras.KerasTensor, side: Side, size: int, deviation: float) -> keras.KerasTensor:
        from keras import initializers, layers

        start = initializers.RandomNormal(stddev=deviation) if deviation else "zeros"
        return layers.Flatten()(layers.Embedding(side.ids, size, embeddings_initializer=start)(ids))

    def _combined(self, vector: keras.KerasTensor, others: keras.KerasTensor | None, size: int) -> keras.KerasTensor:
        """Return the vector with what the other features add to it."""
        from keras import initializers, layers

        small = initializers.RandomNormal(stddev=START / 5)
        if self.units:
            x = vector if others is None else layers.Concatenate()([vector, others])
            for units in self.units:
                x = layers.Dense(units, activation=self.activation)(x)
            return vector + layers.Dense(size, kernel_initializer=small)(x)
        return vector if others is None else vector + layers.Dense(size, kernel_initializer=small)(others)

    def _unit_length(self, vector: keras.KerasTensor) -> keras.KerasTensor:
        """Return vectors of one length, which is learned."""
        from keras import layers, ops

        unit = vector / ops.sqrt(ops.sum(ops.square(vector), axis=-1, keepdims=True) + 1e-12)
        length = layers.Dense(1, use_bias=False, kernel_initializer="ones")
        return unit * length(ops.ones_like(vector[:, :1]))
