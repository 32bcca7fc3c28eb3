"""RealMLP for tables (arXiv 2407.04491): an MLP with periodic embeddings, input scales and parametric activations."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltyard.modeling.models._layers import Activation, Share
from tiltyard.modeling.models._tables import TableLayers


class Realmlp(TableLayers):
    """One network with the defaults of the paper; its parametrisation is that of Keras, whose rates are smaller."""

    family: Literal["realmlp"]
    units: list[int] = Field([256, 256, 256], description="Width of each hidden layer.")
    activation: Activation = "mish"
    parametric: bool = Field(default=True, description="Mix each activation with the identity, by a learned share.")
    dropout: Share = Field(0.15, description="Dropout rate after each hidden layer.")
    members: int = Field(1, ge=1, le=64, description="Members of an ensemble in one network; they share hidden layers.")
    embedding: Literal["piecewise", "periodic", "none"] = Field(
        "periodic", description="Embedding of numbers: piecewise linear between quantiles, periodic, or none."
    )
    embedding_size: int = Field(4, ge=2, le=64, description="Length of the embedding of a number.")
    input_rate: float = Field(
        64.0, ge=0, le=1000, description="Rate of the learned input scales, relative to other weights; 0 for no scales."
    )
