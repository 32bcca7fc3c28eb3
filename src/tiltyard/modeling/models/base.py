"""The type of a model family: settings that can build a Keras model from standardised features to one output."""

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
        """Whether it hands on every step, each of which has seen none that comes later."""
        return False

    def translate(
        self, source: keras.KerasTensor, before: keras.KerasTensor, sizes: tuple[int, int]
    ) -> keras.KerasTensor:
        """Stack layers that read ids of one side, and write those of the other along the step before each."""
        raise ValueError(f"{self.family} does not translate")

    def unroll(self, body: keras.Model, steps: int) -> keras.Model:
        """Return the model that writes by itself what `translate` writes along the truth."""
        raise ValueError(f"{self.family} does not translate")

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer."""
        from keras import layers

        # float32 even under mixed precision: a softmax in 16 bits loses the small probabilities
        return layers.Dense(units, activation=activation, dtype="float32", name="output")(x)

    @property
    def taken_up(self) -> str:
        """The task whose training it takes up, if it takes up one."""
        return ""

    def inherit(self, workspace: Workspace) -> dict[str, Any]:
        """Find what `build` takes from other trainings, before it is called; give what must be recorded of it."""
        return {}
