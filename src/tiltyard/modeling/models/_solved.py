"""Models whose output layer is computed without Keras: by a formula, by a rule of their own, or given by the task."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.files import Json
from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

Part = tuple[Array, Array]  # inputs of the output layer (rows, inputs), and targets (rows, units)


@dataclass(frozen=True)
class Steps:
    """How to solve in steps: the rate and the number of steps of the `train:` section, and its seed."""

    rate: float
    count: int
    seed: int


@dataclass(frozen=True)
class Solution:
    """Weights (inputs, units) and bias of the output layer, the losses of each step, and what else is known."""

    weights: Array
    bias: Array
    history: dict[str, list[float]]  # loss and val_loss
    facts: Json = field(default_factory=dict)


class SolvedModel(Model):
    """A family that computes its output layer by `solve`."""

    trained_by_epochs: ClassVar = False

    @abstractmethod
    def solve(self, train: Part, validation: Part, steps: Steps) -> Solution:
        """Compute the output layer from training rows; validation rows are only measured."""


def fires(x: keras.KerasTensor) -> keras.KerasTensor:
    """Return 1 where a sum is not negative, else 0: the step function of threshold units."""
    from keras import ops

    return ops.cast(ops.greater_equal(x, 0.0), "float32")


def one_unit(units: int) -> int:
    """Return the number of units of a threshold unit's output, or refuse another number than 1."""
    if units != 1:
        raise ValueError(f"expected two labels of which a row has one; received {units} outputs")
    return units


def error_rate(inputs: Array, targets: Array, weights: Array, bias: Array) -> float:
    """Return the share of rows for which a threshold unit is wrong."""
    return float(np.mean((inputs @ weights + bias >= 0) != (targets > 0.5)))
