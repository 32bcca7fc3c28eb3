"""Wide & Deep for tables: a linear model of features and crossed categories, beside dense layers on embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.models._layers import DenseLayers

if TYPE_CHECKING:
    import keras

MOST_CROSSED = 20_000  # features of all crosses together: each is a weight, and a number for each row of a batch
MOST_TOGETHER = 3  # columns of a cross


class WideDeep(DenseLayers):
    """The network of Cheng et al. (2016): one output layer reads both parts, which are trained together."""

    modalities: ClassVar = ("table",)
    reads_names: ClassVar = True

    family: Literal["wide_deep"]
    crossed: list[list[str]] | None = Field(
        None,
        exclude_if=lambda crossed: crossed is None,
        description="Wide part: category columns whose combinations of values have weights, two or three in each "
        "cross; all pairs of category columns if unset.",
    )
    embedding: int = Field(8, ge=1, le=256, description="Deep part: length of the vector of a category.")
    units: list[int] = Field([64, 32], min_length=1, description="Deep part: width of each hidden layer.")

    _places: dict[str, range] = PrivateAttr(default_factory=dict)

    @field_validator("crossed")
    @classmethod
    def _check_crosses(cls, crossed: list[list[str]] | None) -> list[list[str]] | None:
        for names in crossed or ():
            if not 2 <= len({*names}) == len(names) <= MOST_TOGETHER:
                raise ValueError(f"expected two or three different columns in each cross; received {names}")
        if len({frozenset(names) for names in crossed or ()}) < len(crossed or ()):
            raise ValueError(f"expected each cross once; received {crossed}")
        return crossed

    def columns_error(self, columns: Mapping[str, Column]) -> str:
        """Check that crosses name category columns."""
        categories = [name for name, column in columns.items() if column.one_hot]
        for name in (name for names in self.crossed or () for name in names):
            if name not in categories:
                expected = ", ".join(categories) or "none"
                return f"model.crossed: expected category columns out of {expected}; received {name}"
        return ""

    def locate_names(self, places: dict[str, range]) -> None:
        """Receive the places of the flags of each category column."""
        self._places = places

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build what the output layer reads: the last hidden layer, the features, and the crossed categories."""
        from keras import layers

        deep = self.add_dense_layers(self._embedded(features), self.units)
        flags = {name: features[:, places.start : places.stop] for name, places in self._places.items()}
        return layers.Concatenate()(
            [deep, features, *(_cross([flags[name] for name in names]) for names in self._crosses())]
        )

    def _crosses(self) -> list[list[str]]:
        """Return the columns of each cross; raise ValueError if there are too many combinations."""
        crosses = [[*pair] for pair in combinations(self._places, 2)] if self.crossed is None else self.crossed
        count = sum(math.prod(len(self._places[name]) for name in names) for names in crosses)
        if count > MOST_CROSSED:
            raise ValueError(
                f"crossed: expected at most {MOST_CROSSED:,} combinations of categories; received {count:,}; "
                "name fewer crosses, or columns with fewer names"
            )
        return crosses

    def _embedded(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Return a learned vector for each category, and all other features."""
        from keras import layers, ops

        categories = {place for places in self._places.values() for place in places}
        others = [place for place in range(features.shape[1]) if place not in categories]
        parts = [ops.take(features, others, axis=1)] if others else []
        for places in self._places.values():
            vector = layers.Dense(self.embedding, use_bias=False, **self.weights())
            parts.append(vector(features[:, places.start : places.stop]))
        return layers.Concatenate()(parts) if len(parts) > 1 else parts[0]


def _cross(flags: list[keras.KerasTensor]) -> keras.KerasTensor:
    """Return a flag for each combination of categories: the products of their flags."""
    from keras import layers

    crossed, *others = flags
    for other in others:
        crossed = layers.Flatten()(crossed[:, :, None] * other[:, None, :])
    return crossed
