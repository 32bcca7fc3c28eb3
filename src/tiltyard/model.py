"""The type of a model family: settings that can build a Keras model from standardised features to one output."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.strict import Strict

if TYPE_CHECKING:
    import keras

Output = Literal["linear", "sigmoid", "softmax"]
Activation = Literal["relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid", "linear"]


class Model(Strict):
    """The `model:` section of a task file; plug-ins in models/ say what each family means."""

    forms: ClassVar[tuple[str, ...]]  # the forms of data it can read

    family: str
    output: Output | None = Field(None, description="Activation of the last layer; the problem's usual one if unset.")

    @abstractmethod
    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Stack the family's layers on the features; the output layer is added by the caller.

        `vocabulary_size` says how many ids there are, for families that read ids.
        """
