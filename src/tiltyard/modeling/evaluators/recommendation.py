"""Evaluation of recommendations: errors of ratings, and the ranks of the items that users of the test rows like.

`outputs` are, side by side: the rating, then NDCG, recall and reciprocal rank of the row's user, and the row's weight.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, boxes, histogram, points
from tiltyard.modeling.evaluators.base import TRUTH, Evaluator
from tiltyard.modeling.evaluators.regression import METRICS as OF_NUMBERS
from tiltyard.modeling.evaluators.regression import Regression
from tiltyard.modeling.metrics import ranking
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.metrics.ranking import NDCG, RECALL, RECIPROCAL, TOP, WEIGHT, mean_over_users
from tiltyard.modeling.metrics.rating_baselines import Ratings
from tiltyard.modeling.problems.base import Target

CODES = "codes"  # of user and item of the evaluated rows
HIDDEN = "hidden"  # pairs of user and item that are not recommended, since the user has rated them before


def _over_users(column: int, title: str, meaning: str) -> Metric:
    return Metric(
        title, lambda _, o, __: mean_over_users(o, column), higher_is_better=True, meaning=meaning, bounds=(0, 1)
    )


RANKING: dict[str, Metric] = {
    "ndcg_at_10": _over_users(
        NDCG,
        f"Normalised discounted cumulative gain of {TOP} recommendations (NDCG@{TOP})",
        f"how near the {TOP} recommended items are to the best possible list; the first ones weigh more",
    ),
    "recall_at_10": _over_users(
        RECALL,
        f"Recall of {TOP} recommendations (recall@{TOP})",
        f"the share of the relevant items of a user that are among the {TOP} recommended ones",
    ),
    "mrr": _over_users(
        RECIPROCAL,
        "Mean reciprocal rank (MRR)",
        "one divided by the rank of the first relevant item, on average over users",
    ),
}


METRICS = {"rmse": OF_NUMBERS["rmse"], "mae": OF_NUMBERS["mae"], **RANKING}


class Recommendation(Evaluator):
    """The baseline rates by the means of user and item, and ranks by popularity."""

    metrics = METRICS
    baseline_title: ClassVar = "the means of user and item for ratings, and the most popular items for the ranking"

    def __init__(self, relevant: float = 0.0) -> None:
        self.relevant = relevant

    def of(self, target: Target) -> Evaluator:
        """Return the evaluator that knows which ratings are good ones."""
        return type(self)(target.interaction.relevant) if target.interaction else self

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return ratings by means, and ranks by popularity; `train` has codes of user and item, and ratings."""
        known = Ratings.of(train[:, :2], train[:, 2], self.relevant, _sizes(train[:, :2], rows[CODES]))
        user, item = rows[CODES].T
        hidden = pairs(rows.get(HIDDEN, np.empty((0, 2), dtype=np.int64)))
        rank = ranking.ranks(lambda _: known.popularity, user, item, hidden)
        return self.outputs(known.by_biases(user, item), rank, rows[TRUTH], user)

    def outputs(self, rating: Array, rank: Array, truth: Array, user: Array) -> Array:
        """Return outputs from ratings and ranks."""
        return np.column_stack([rating, ranking.of_users(rank, truth >= self.relevant, user)])

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return the rows with the largest and with the smallest errors, and how many users the ranking is about."""
        users = predictions.outputs[:, WEIGHT].sum()  # the weights of a user add up to 1
        return {**Regression().details(predictions), "ranked_users": round(float(users))}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return rating and residual of every row."""
        return Regression().plots(predictions)

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the ratings by truth, the errors, and the ranking of each user against that by popularity."""
        model, simple = (outputs[outputs[:, WEIGHT] > 0] for outputs in (predictions.outputs, predictions.baseline))
        better = float(np.mean(model[:, NDCG] > simple[:, NDCG])) if len(model) else 0.0
        errors = predictions.outputs[:, 0] - predictions.truth
        return [
            *_ratings(predictions),
            histogram("Errors", f"Predicted minus actual; {np.mean(errors):.3g} on average.", {"errors": errors}),
            points(
                "Ranking by user",
                f"Each point is a user's NDCG@{TOP}; above the line the model ranks better than popularity, which "
                f"holds for {better:.0%} of test rows.",
                ("Popularity", "Model"),
                {"": (simple[:, NDCG], model[:, NDCG])},
                diagonal=True,
            ),
        ]


def _ratings(predictions: Predictions) -> list[Figure]:
    """Return the predicted ratings for each actual one: their distribution, since few ratings are distinct."""
    rating, truth = predictions.outputs[:, 0], predictions.truth
    values = np.unique(truth)
    if len(values) > TOP:
        return [
            points(
                "Predicted and actual",
                "Each point is a test row; on the line the rating is exact.",
                (f"Predicted {predictions.target}", f"Actual {predictions.target}"),
                {"": (rating, truth)},
                diagonal=True,
            )
        ]
    groups = {f"{value:g}": rating[truth == value] for value in values}
    text = "The middle half of the predictions for each actual rating, with their median: they should rise."
    return [boxes("Predicted ratings by actual rating", text, f"Predicted {predictions.target}", groups)]


def _sizes(known: Array, codes: Array) -> tuple[int, int]:
    """Return how many codes of users and items there are, with 0."""
    users, items = np.concatenate([known, codes]).max(axis=0).astype(int) + 1
    return int(users), int(items)


def pairs(rated: Array) -> Any:
    """Return a function from a user to the items in its pairs."""
    ordered = rated[np.argsort(rated[:, 0], kind="stable")]

    def items(user: int) -> Array:
        first, last = np.searchsorted(ordered[:, 0], [user, user + 1])
        return np.asarray(ordered[first:last, 1])

    return items
