"""The Model base class: the settings of a model family, which build its Keras layers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tiltyard.settings import Settings

if TYPE_CHECKING:
    import keras

    from tiltyard.workspace import Workspace

Output = Literal["linear", "sigmoid", "softmax"]


class Model(Settings):
    """The `model:` section of a task file; plug-ins in models/ say what each family means."""

    forms: ClassVar[tuple[str, ...]]  # the forms of data it can read
    translates: ClassVar[bool] = False  # whether it writes texts, and nothing else

    family: str
    output: Output | None = Field(None, description="Activation of the last layer; the problem's usual one if unset.")

    @abstractmethod
    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Stack the family's layers on the features; `head` comes after them.

        `vocabulary_size` says how many ids there are, for families that read ids. What the features do not fit is a
        ValueError whose first line says why.
        """

    @property
    def steps(self) -> bool:
        """Return whether it returns every step and is causal."""
        return False

    def translate(
        self, source: keras.KerasTensor, before: keras.KerasTensor, sizes: tuple[int, int]
    ) -> keras.KerasTensor:
        """Build encoder and decoder layers for training with teacher forcing."""
        raise ValueError(f"{self.family} does not translate")

    def unroll(self, body: keras.Model, steps: int) -> keras.Model:
        """Return the inference model, which decodes step by step."""
        raise ValueError(f"{self.family} does not translate")

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer."""
        from keras import layers

        # float32 even under mixed precision: a softmax in 16 bits loses the small probabilities
        return layers.Dense(units, activation=activation, dtype="float32", name="output")(x)

    @property
    def taken_up(self) -> str:
        """Return the base task of transfer learning, or None."""
        return ""

    def inherit(self, workspace: Workspace) -> dict[str, Any]:
        """Resolve the base model before `build`; return what to record about it."""
        return {}
