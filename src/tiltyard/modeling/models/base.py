"""Base class of model families: their settings, and the Keras layers built from them."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tiltyard.arrays import Array
from tiltyard.modeling.columns.base import Column
from tiltyard.settings import Settings

if TYPE_CHECKING:
    import keras

    from tiltyard.workspace import Workspace

Output = Literal["linear", "sigmoid", "softmax", "exponential"]
ENCODED = "encoded"  # name of the layer with the encoded words of a text, in a model of masked words
NETWORK = "network"  # name of the layer that holds the network, if a model averages it with references


@dataclass(frozen=True)
class Branch:
    """A column of a packed row that has layers of its own: its kind, place, shape, and the number of ids of a text."""

    name: str
    kind: str
    start: int
    shape: tuple[int, ...]
    vocabulary_size: int = 0

    @property
    def stop(self) -> int:
        """The place after its last feature."""
        return self.start + math.prod(self.shape)


def load_network(path: Path) -> keras.Model:
    """Load a saved network, which may have layers of our own."""
    import keras

    from tiltyard.modeling.models import _peephole  # noqa: F401 - its import registers the cell

    return keras.saving.load_model(path, compile=False)


class Model(Settings):
    """The `model:` section of a task file; each plug-in in models/ implements one family."""

    modalities: ClassVar[tuple[str, ...]]  # the modalities that it can read
    translates: ClassVar[bool] = False  # whether it predicts texts (sequence to sequence), and only texts
    reconstructs: ClassVar[bool] = False  # whether it returns its input from a code, and only that
    problems: ClassVar[tuple[str, ...]] = ()  # the only problems that its outputs are for; if empty, all others
    recommends: ClassVar[bool] = False  # whether it has a vector for each user and each item, and only that
    generates: ClassVar[bool] = False  # whether it learns to draw new rows, and only that; see training/samplers
    adversarial: ClassVar[bool] = False  # whether two networks learn against each other: see training/adversarial
    measures: ClassVar[tuple[str, ...]] = ()  # what a generative model tells of each row: see evaluators/sampling.py
    reads_ngrams: ClassVar[bool] = False  # whether it reads texts only as n-grams
    reads_names: ClassVar[bool] = False  # whether it needs to know which features are the flags of a column of names
    trained_by_epochs: ClassVar[bool] = True  # whether Keras trains it, epoch by epoch
    has_gradients: ClassVar[bool] = True  # whether its outputs have useful gradients by its inputs

    learns_without_labels: ClassVar[bool] = False  # whether a part of its training needs no labels
    adapts: ClassVar[bool] = False  # whether it computes statistics of training rows before it is built

    family: str = Field(description="The model family.")
    output: Output | None = Field(None, description="Activation of the last layer; the problem's default if unset.")

    blend_references: bool = Field(
        default=False,
        description="Average the outputs of the network with those of the references, weighted by validation rows.",
    )

    @property
    def unsuited_references(self) -> tuple[str, ...]:
        """The references that are not averaged with it, since its settings say that they do not suit the data."""
        return ()

    @property
    def code_size(self) -> int:
        """The number of numbers of the code, if it has one; else 0."""
        return 0

    @property
    def cluster_count(self) -> int:
        """The number of clusters, if it puts rows into clusters; else 0."""
        return 0

    def adapt(self, rows: Array) -> None:
        """Compute what `build` needs to know of standardised training rows; by default nothing."""

    @property
    def one_output_layer(self) -> bool:
        """Whether its output layer is one dense layer with a bias, whose weights can be scaled."""
        return True

    def reader(self, kind: str) -> Model:
        """Return the model whose layers read columns of a kind: itself, unless each kind has layers of its own."""
        return self

    def lay_out(self, branches: Sequence[Branch], others: Sequence[int]) -> None:
        """Receive where texts and images are in a row before `build`, and the places of all other features."""

    @abstractmethod
    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build the family's hidden layers on the features; `head` adds the output layer.

        `vocabulary_size` is the number of ids, for families that read ids. Raise ValueError if layers and features do
        not fit; its first line is the reason.
        """

    @property
    def steps(self) -> bool:
        """Whether it returns all steps and is causal, which text generation requires."""
        return False

    @property
    def keeps_steps(self) -> bool:
        """Whether it returns all steps and each depends on all words, which masked words require."""
        return False

    def translate(
        self, source: keras.KerasTensor, previous: keras.KerasTensor, sizes: tuple[int, int]
    ) -> keras.KerasTensor:
        """Build encoder and decoder layers for training with teacher forcing."""
        raise ValueError(f"{self.family} does not translate")

    def unroll(self, body: keras.Model, steps: int) -> keras.Model:
        """Build the inference model, which decodes step by step."""
        raise ValueError(f"{self.family} does not translate")

    def weigh_tokens(self, weights: list[tuple[float, float]]) -> None:
        """Receive the weights of ids before `build`, if features are a set of ids; by default they are not used."""

    @property
    def random_in_training(self) -> bool:
        """Whether `training_layer` returns another layer than it receives."""
        return False

    def training_layer(self, layer: Any, seed: int) -> Any:
        """Return the layer that takes the place of one of the network in training; by default the same."""
        return layer

    def columns_error(self, columns: Mapping[str, Column]) -> str:
        """Return what is wrong with settings that name columns: key, expected, received; or empty."""
        return ""

    def locate_names(self, places: dict[str, range]) -> None:
        """Receive the places of the flags of each column of names before `build`; by default they are not used."""

    def head(self, x: keras.KerasTensor, units: int, activation: str) -> keras.KerasTensor:
        """Add the output layer."""
        from keras import layers

        # float32 even under mixed precision: a softmax in 16 bits loses the small probabilities
        return layers.Dense(units, activation=activation, dtype="float32", name="output")(x)

    @property
    def base_task(self) -> str:
        """The base task of transfer learning; empty if there is none."""
        return ""

    @property
    def code_path(self) -> str:
        """The file and the function of the project that build its layers, as FILE.py:FUNCTION; empty if none do."""
        return ""

    @property
    def vocabulary_task(self) -> str:
        """The task whose vocabulary is used instead of one of the training rows; empty if there is none."""
        return ""

    def begin_phase(self, body: keras.Model, number: int, last: int) -> None:
        """Change what is trained before a phase of the training, from 0 to `last`; by default nothing."""

    def inherit(self, workspace: Workspace) -> dict[str, Any]:
        """Find the base model before `build`; return its provenance for the record of the training."""
        return {}
