"""Restricted Boltzmann machine (RBM) as a generative model: binary hidden units, and pixels drawn given them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tiltyard.modeling.models._rbm import HiddenSparsity
from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras


class Rbm(Model):
    """One layer of hidden units, trained by contrastive divergence with the epochs, batches and rate of `train:`."""

    modalities: ClassVar = ("image",)
    generates: ClassVar = True
    measures: ClassVar = ("log_likelihood",)
    one_output_layer: ClassVar = False

    family: Literal["rbm"]
    hidden: int = Field(500, ge=1, le=10_000, description="How many hidden units.")
    gibbs_steps: int = Field(1, ge=1, le=100, description="Steps of Gibbs sampling for each batch: the k of CD-k.")
    persistent: bool = Field(
        default=True, description="Continue the chains of the batch before (PCD) instead of starting at the rows."
    )
    momentum: float = Field(0.5, ge=0, lt=1)
    weight_decay: float = Field(0.0001, ge=0, lt=1, description="Share of each weight in its gradient.")
    sparsity: HiddenSparsity | None = None
    sampling_steps: int = Field(
        5, ge=1, le=50, description="Steps of Gibbs sampling for each sample, from the end of a long chain."
    )

    @property
    def code_size(self) -> int:
        """How many random numbers a sample takes, and how many probabilities describe a row."""
        return self.hidden

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Add the hidden units."""
        from keras import layers

        return layers.Dense(self.hidden, activation="sigmoid")(layers.Flatten()(features))
