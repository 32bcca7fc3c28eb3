"""Restricted Boltzmann machines: their weights, and the settings of their training by contrastive divergence."""

from __future__ import annotations

from operator import not_
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from tiltyard.settings import Settings

Visible = Literal["bernoulli", "gaussian"]
RATES: dict[Visible, float] = {"bernoulli": 0.1, "gaussian": 0.01}  # learning rates that Hinton's guide suggests


class Rbm(NamedTuple):
    """Weights (visible, hidden) and biases of a restricted Boltzmann machine: arrays or tensors."""

    weights: Any
    visible_bias: Any
    hidden_bias: Any


class HiddenSparsity(Settings):
    """A pull of the bias of each hidden unit towards a small mean activation."""

    rho: float = Field(0.1, gt=0, lt=1, description="The mean activation that each hidden unit shall have.")
    weight: float = Field(0.1, gt=0, le=10, description="Weight of the pull, relative to the gradient.")


class ContrastiveDivergence(Settings):
    """How a restricted Boltzmann machine learns: steps of Gibbs sampling for each batch, and the updates."""

    epochs: int = Field(10, ge=0, le=10_000, description="Passes over the rows; 0 for none.")
    batch_size: int = Field(100, ge=1, le=10_000)
    learning_rate: float | None = Field(None, gt=0, description="0.1 if unset, 0.01 for gaussian visible units.")
    momentum: float = Field(0.9, ge=0, lt=1, description="At most 0.5 in the first five epochs.")
    weight_decay: float = Field(0.0002, ge=0, lt=1, description="Share of each weight in its gradient.")
    steps: int = Field(1, ge=1, le=100, description="Steps of Gibbs sampling for each batch: the k of CD-k.")
    persistent: bool = Field(
        default=False, description="Continue the chains of the batch before (PCD) instead of starting at the rows."
    )
    sample_visible: bool = Field(
        default=False,
        description="Draw visible units in the chains, as persistent chains always do; "
        "if false, they are their probabilities.",
    )
    decay: bool = Field(
        default=False,
        exclude_if=not_,
        description="Lower the learning rate from epoch to epoch, linearly to 0.",
    )
    sparsity: HiddenSparsity | None = None
    visible: Visible | None = Field(
        None, description="Units of the rows: bernoulli for pixels from 0 to 1, gaussian for standardised numbers."
    )

    @model_validator(mode="after")
    def _steps_are_used(self) -> ContrastiveDivergence:
        if self.epochs == 0 and self.model_fields_set - {"epochs"}:
            raise ValueError("epochs: expected 1 or more with other settings; received 0, which trains nothing")
        return self

    @property
    def draws_visible(self) -> bool:
        """Whether visible units are drawn; those of persistent chains always: their bias would add up."""
        return self.sample_visible or self.persistent

    def rate(self, visible: Visible, epoch: int = 0) -> float:
        """Return the learning rate for a kind of visible units, in an epoch from 0."""
        rate = self.learning_rate or RATES[visible]
        return rate * (1 - epoch / self.epochs) if self.decay else rate
