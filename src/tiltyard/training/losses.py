"""Losses that Keras lacks, or defines so that a perfect prediction does not have the loss 0.

Each takes the targets and the outputs of a batch, and returns the loss of each row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from tiltyard.training.picture_losses import focal, pixel_crossentropy

SMALLEST = 1e-7  # a probability or a mean is not less, since it has no logarithm


def pseudo_huber(truth: Any, prediction: Any) -> Any:
    """Return the mean of sqrt(1 + e²) - 1 for errors e: e²/2 for small ones, |e| - 1 for large ones."""
    return ops.mean(ops.sqrt(1.0 + ops.square(prediction - truth)) - 1.0, axis=-1)


def poisson(truth: Any, prediction: Any) -> Any:
    """Return the mean of m - y + y log(y / m) for means m: the negative log-likelihood less that of m = y."""
    mean = ops.maximum(prediction, SMALLEST)
    return ops.mean(mean - truth + _relative(truth, mean), axis=-1)


def hinge(truth: Any, prediction: Any) -> Any:
    """Return the mean of max(0, 1 - s z) for labels s of -1 and 1, where the probability is the sigmoid of z."""
    return ops.mean(_lack_of_margin(truth, prediction), axis=-1)


def squared_hinge(truth: Any, prediction: Any) -> Any:
    """Return the mean of max(0, 1 - s z)², as in `hinge`."""
    return ops.mean(ops.square(_lack_of_margin(truth, prediction)), axis=-1)


def kl_divergence(truth: Any, prediction: Any) -> Any:
    """Return the sum of q log(q / p) over classes: for a label, -log p; for shares, the log loss less their entropy."""
    return ops.sum(_relative(_shares(truth, prediction), ops.maximum(prediction, SMALLEST)), axis=-1)


def cosine_similarity(truth: Any, prediction: Any) -> Any:
    """Return 1 minus the cosine between the probabilities and the label's vector; right probabilities minimise it."""
    shares = _shares(truth, prediction)
    return 1.0 - ops.sum(ops.normalize(shares, axis=-1) * ops.normalize(prediction, axis=-1), axis=-1)


def _relative(truth: Any, prediction: Any) -> Any:
    """Return y log(y / m), which is 0 for y = 0."""
    return truth * (ops.log(ops.maximum(truth, SMALLEST)) - ops.log(prediction))


def _lack_of_margin(truth: Any, prediction: Any) -> Any:
    probability = ops.clip(prediction, SMALLEST, 1.0 - SMALLEST)
    margin = ops.log(probability) - ops.log(1.0 - probability)
    return ops.relu(1.0 - (2.0 * ops.cast(truth, margin.dtype) - 1.0) * margin)


def _shares(truth: Any, prediction: Any) -> Any:
    """Return a share of each class: label indices become one-hot."""
    classes = prediction.shape[-1]
    if len(truth.shape) == len(prediction.shape) and truth.shape[-1] == classes:
        return ops.cast(truth, prediction.dtype)
    indices = ops.reshape(ops.cast(truth, "int32"), (-1,))
    return ops.one_hot(indices, classes, dtype=prediction.dtype)


OWN: dict[str, Callable[[Any, Any], Any]] = {
    loss.__name__: loss
    for loss in (
        *(pseudo_huber, poisson, hinge, squared_hinge, kl_divergence, cosine_similarity),
        *(focal, pixel_crossentropy),
    )
}
