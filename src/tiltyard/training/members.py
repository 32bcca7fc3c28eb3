"""Training of a network with members: each learns from its own loss, and validation measures their mean."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class MembersTrainer(keras.Model):  # type: ignore[misc]
    """A model whose outputs are those of the members, (rows, members, units).

    The loss of the mean would let members compensate for each other's errors; then none of them is good.
    """

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the mean of the members' losses in training, and the loss of their mean otherwise."""
        if not training:
            return super().compute_loss(x, y, ops.mean(y_pred, axis=1), sample_weight, training)
        count, units = y_pred.shape[1:]
        weight = None if sample_weight is None else ops.repeat(sample_weight, count, axis=0)
        flat = ops.reshape(y_pred, (-1, units))
        return super().compute_loss(x, ops.repeat(y, count, axis=0), flat, weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Compute the metrics of the mean."""
        return super().compute_metrics(x, y, ops.mean(y_pred, axis=1), sample_weight)
