"""Training of two towers: the loss of the ratings, and that of the ranking among the items of a batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from tiltyard.arrays import Fitted
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.models.two_tower import ITEM, USER, Side, Sides, TwoTower
from tiltyard.modeling.problems._interaction import Interaction
from tiltyard.preparation.array_file import Features

NEVER = -1e9  # the score of an item that may not be chosen
LEAST_SHARE = 1e-7  # of the rows, for an item that no training row has


def sides(encoder: Encoder, rows: Features) -> Sides:
    """Return what the towers of users and items read, and how frequent items are in training rows."""
    between, spans, target = Interaction(**encoder.target["interaction"]), encoder.spans, encoder.target

    def side(name: str, others: list[str]) -> Side:
        places = [place for other in others for place in range(spans[other].start, spans[other].stop)]
        return Side(spans[name].start, len(encoder.fitted[name]["values"]) + 1, places)

    item = side(between.item, between.item_features([*encoder.columns]))
    counts = np.bincount(rows[:][:, item.place].astype(np.int64), minlength=item.ids)
    log_shares = np.log(np.maximum(counts / len(rows), LEAST_SHARE)).astype(np.float32)
    relevant = (between.relevant - target["mean"]) / target["std"]
    return Sides(side(between.user, between.user_features), item, log_shares, relevant)


class RecommendationTrainer(keras.Model):  # type: ignore[misc]
    """A model whose outputs are rating, user and item vectors, side by side; the loss of the ranking is added."""

    family: TwoTower

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Return the loss of the ratings, with that of the ranking, and in training with the penalty of vectors."""
        loss = super().compute_loss(x, y, y_pred[:, :1], sample_weight, training)
        user, item = _vectors(self.family, y_pred)
        if self.family.ranking:
            loss = loss + self.family.ranking * ranking_loss(self.family, (x, y), (user, item))
        if training and self.family.l2:
            squares = ops.sum(ops.square(user), axis=-1) + ops.sum(ops.square(item), axis=-1)
            loss = loss + self.family.l2 * ops.mean(squares)
        return loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Compute the metrics of the ratings."""
        return super().compute_metrics(x, y, y_pred[:, :1], sample_weight)


def _vectors(family: TwoTower, outputs: Any) -> tuple[Any, Any]:
    return outputs[:, 1 : 1 + family.width], outputs[:, 1 + family.width :]


def ranking_loss(family: TwoTower, rows: tuple[Any, Any], vectors: tuple[Any, Any]) -> Any:
    """Return the mean log loss of choosing the item of each well-rated row among all items of the batch.

    Items of a batch are drawn by their frequency, so its logarithm is taken off their scores (Bengio and Senecal, 2008;
    Yi et al., 2019): the scores then are those of all items. Other rows of the same item do not compete with it.
    """
    (x, y), (user, item), known = rows, vectors, family.sides
    items = ops.cast(x[:, known.item.place], "int32")
    first = family.factors + 1  # after rating and bias
    scores = ops.matmul(user[:, first:-1], ops.transpose(item[:, first:-1])) + item[:, -1]
    scores = scores - ops.take(ops.convert_to_tensor(known.log_shares), items)
    own = ops.expand_dims(ops.arange(ops.shape(items)[0]), 1) == ops.arange(ops.shape(items)[0])
    same = ops.logical_and(ops.equal(ops.expand_dims(items, 1), items), ops.logical_not(own))
    chosen = ops.log_softmax(ops.where(same, NEVER, scores), axis=-1)
    loss = -ops.sum(ops.where(own, chosen, 0.0), axis=-1)
    good = ops.cast(ops.reshape(y, (-1,)) >= known.relevant - 1e-6, loss.dtype)
    return ops.sum(loss * good) / ops.maximum(ops.sum(good), 1.0)


def with_vectors(body: keras.Model) -> keras.Model:
    """Return a model of the rating and of both vectors."""
    return keras.Model(body.input, [body.output, *(body.get_layer(name).output for name in (USER, ITEM))])


def build_trainer(family: TwoTower, both: keras.Model) -> RecommendationTrainer:
    """Put rating and vectors side by side."""
    features = keras.Input(both.input_shape[1:], name="features")
    trainer = RecommendationTrainer(features, ops.concatenate(both(features), axis=-1))
    trainer.family = family
    return trainer


def build_inference(body: keras.Model, target: Fitted) -> keras.Model:
    """Return the model that is exported: the rating in its unit, and both vectors, side by side."""
    rating = keras.layers.Rescaling(target["std"], target["mean"], dtype="float32")(body.output)
    vectors = [body.get_layer(name).output for name in (USER, ITEM)]
    return keras.Model(body.input, ops.concatenate([rating, *vectors], axis=-1))
