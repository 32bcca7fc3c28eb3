"""Adversarial losses, as functions of the discriminator's outputs: above 0 is real, below 0 is generated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of both sides; real and fake are outputs of shape (rows, 1)."""

    of_discriminator: Callable[[Any, Any], Any]
    of_generator: Callable[[Any], Any]


def adversarial_loss(name: str, smoothing: float) -> AdversarialLoss:
    """Return the losses by their name in the task file."""
    if name == "hinge":
        return AdversarialLoss(_hinge, lambda fake: -ops.mean(fake))
    return AdversarialLoss(
        lambda real, fake: _cross_entropy(real, 1 - smoothing) + _cross_entropy(fake, 0.0),
        lambda fake: _cross_entropy(fake, 1.0),
    )


def accuracy(real: Any, fake: Any) -> Any:
    """Return the share of pictures that the discriminator judges rightly."""
    right = ops.cast(real > 0, "float32"), ops.cast(fake < 0, "float32")
    return (ops.mean(right[0]) + ops.mean(right[1])) / 2


def _hinge(real: Any, fake: Any) -> Any:
    return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake))


def _cross_entropy(outputs: Any, target: float) -> Any:
    """Return the mean of target * softplus(-x) + (1 - target) * softplus(x), the cross-entropy of a sigmoid of x."""
    return ops.mean(ops.softplus(outputs) - target * outputs)
