"""Evaluation of recommendations on sealed rows: ranks of items, simple rivals, and what lists of recommendations hold.

Nothing is fitted to sealed rows, and they are hidden from no list: a user's list leaves out only what the user has
rated in training and validation rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.evaluation.reference import Reference
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.recommendation import CODES, HIDDEN, Recommendation
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.inference.vector_index import VectorIndex, codes
from tiltyard.modeling.metrics import ranking
from tiltyard.modeling.metrics.ranking import TOP, gini
from tiltyard.modeling.metrics.rating_baselines import MOST_ITEMS, ItemNeighbours, Ratings
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.sealed_test import TestRows

Scores = Callable[[int], Array]
MOST_USERS = 2000  # whose lists are counted, and who are ranked as if they were unknown
BORDERS = (0, 10, 20, 50, 100, 200, 500)  # of the numbers of ratings that users and items have


def _with_ranking(predictor: Predictor, coded: Array, truth: Array, outputs: Array) -> Array:
    """Return the outputs with the ranking of each row's user beside the rating; unchanged for other problems."""
    index = predictor.index
    if index is None:
        return outputs
    user, item = coded.T
    rank = ranking.ranks(lambda code: index.scores(index.user_vectors[code]), user, item, index.rated_by)
    return _evaluator(predictor).outputs(outputs[:, 0], rank, truth, user)


def codes_of_rows(encoder: Encoder, rows: Rows) -> Array:
    """Return the codes of user and item of rows as a client sends them."""
    between = encoder.target["interaction"]
    names = [between["user"], between["item"]]
    parts = [encoder.columns[name].encode(rows[name], encoder.fitted[name]) for name in names]
    return np.concatenate(parts, axis=1).astype(np.int64)


def ranked(predictor: Predictor, rows: Rows, truth: Array, outputs: Array) -> Array:
    """Return the outputs for rows as a client sends them, with the ranking if the model recommends."""
    if predictor.index is None:
        return outputs
    return _with_ranking(predictor, codes_of_rows(predictor.encoder, rows), truth, outputs)


def ranked_features(predictor: Predictor, features: Features, truth: Array, outputs: Array) -> Array:
    """Return the outputs for encoded rows, with the ranking if the model recommends."""
    if predictor.index is None:
        return outputs
    return _with_ranking(predictor, codes(predictor.encoder, features[:]), truth, outputs)


def baseline(task: Task, predictor: Predictor, train: tuple[Features, Array], test: TestRows) -> Array:
    """Return ratings by the means of training rows, and ranks by popularity."""
    index, known = _index(predictor), _known(predictor.encoder, train)
    user = np.repeat(np.arange(len(index.users)), np.diff(index.starts))
    rows = {
        CODES: codes_of_rows(predictor.encoder, test.rows),
        HIDDEN: np.stack([user, index.rated], axis=1),
        TRUTH: test.truth,
    }
    return task.evaluator.baseline(known, rows, task.gate.metric)


def item_neighbours(predictor: Predictor, train: tuple[Features, Array], test: TestRows) -> Reference | None:
    """Return the outputs of neighbours of items; None if there are too many items to compare all pairs."""
    neighbours = _neighbours(predictor, train)
    return None if neighbours is None else _of_neighbours(predictor, neighbours, test)


def _neighbours(predictor: Predictor, train: tuple[Features, Array]) -> ItemNeighbours | None:
    index = _index(predictor)
    if len(index.items) > MOST_ITEMS or len(index.users) * len(index.items) > MOST_ITEMS**2:
        return None
    return ItemNeighbours(_ratings(predictor, train))


def _of_neighbours(predictor: Predictor, neighbours: ItemNeighbours, test: TestRows) -> Reference:
    index = _index(predictor)
    user, item = codes_of_rows(predictor.encoder, test.rows).T
    rank = ranking.ranks(neighbours.scores, user, item, index.rated_by)
    outputs = _evaluator(predictor).outputs(neighbours.predicted(user, item), rank, test.truth, user)
    return Reference(
        "neighbours of items (k nearest neighbours)", outputs, f"all {len(neighbours.ratings.rating):,} training rows"
    )


def facts(task: Task, predictor: Predictor, train: tuple[Features, Array], test: TestRows) -> dict[str, Any]:
    """Return what a report says of recommendations, beside the metrics; nothing for other problems."""
    if predictor.index is None:
        return {}
    index, ratings = predictor.index, _ratings(predictor, train)
    rivals: dict[str, Scores] = {
        "model": lambda code: index.scores(index.user_vectors[code]),
        "popularity": lambda _: ratings.popularity,
    }
    neighbours = _neighbours(predictor, train)
    scores = {"model if users were unknown": _folded_in(predictor, train, test)}
    if neighbours is not None:
        reference = _of_neighbours(predictor, neighbours, test)
        rivals["neighbours of items"] = neighbours.scores
        scores["neighbours of items"] = task.evaluator.scores(test.truth, reference.outputs, {})
    lists = {name: lists_held(index, rival) for name, rival in rivals.items()}
    return {
        "recommendation": {
            "top": TOP,
            "users": len(index.users) - 1,
            "items": len(index.items) - 1,
            "lists": lists,
            "rivals": scores,
            "errors": _errors_by_rows(predictor, test),
        }
    }


def lists_held(index: VectorIndex, scores: Scores) -> dict[str, float]:
    """Return which share of the items is recommended to some user, how unequally often, and how popular they are."""
    users = np.unique(np.linspace(1, len(index.users) - 1, min(MOST_USERS, len(index.users) - 1)).astype(int))
    counts = np.zeros(len(index.items))
    for user in users.tolist():
        counts[recommended(scores(user), index.rated_by(user))] += 1
    popularity = float(counts @ index.item_rows / max(counts.sum(), 1))
    return {"coverage": float(np.mean(counts[1:] > 0)), "gini": gini(counts[1:]), "ratings": popularity}


def recommended(scores: Array, hidden: Array) -> Array:
    """Return the best items that are not hidden, the best one first; of equals the one with the lower code."""
    values = scores.astype(np.float64)
    values[hidden] = values[0] = -np.inf
    order = np.argsort(-values, kind="stable")[:TOP]
    return order[np.isfinite(values[order])]


def _folded_in(predictor: Predictor, train: tuple[Features, Array], test: TestRows) -> dict[str, float]:
    """Return the metrics if the service had only the ratings of each user, and no learned vector."""
    index, known = _index(predictor), _known(predictor.encoder, train)
    coded = codes_of_rows(predictor.encoder, test.rows)
    users = np.unique(coded[:, 0])
    chosen = np.isin(coded[:, 0], users[users > 0][:MOST_USERS])
    (user, item), truth = coded[chosen].T, test.truth[chosen]
    if not len(truth):
        return {}
    vectors = {}
    for rows in ranking.by_user(known[:, 0].astype(np.int64)):
        code = int(known[rows[0], 0])
        items = known[rows, 1].astype(np.int64)
        vectors[code] = index.fold_in(items[items > 0], known[rows, 2][items > 0])
    rank = ranking.ranks(lambda code: index.scores(vectors[code]), user, item, index.rated_by)
    rating = np.array(
        [index.ratings(vectors[who], [what])[0] for who, what in zip(user.tolist(), item.tolist(), strict=True)]
    )
    rating = predictor.encoder.problem.condense(predictor.encoder, truth, rating[:, None])[:, 0]
    evaluator = _evaluator(predictor)
    return evaluator.scores(truth, evaluator.outputs(rating, rank, truth, user), {})


def _errors_by_rows(predictor: Predictor, test: TestRows) -> dict[str, list[dict[str, Any]]]:
    """Return the error of ratings by the number of training rows that their user, or their item, has."""
    index, coded = _index(predictor), codes_of_rows(predictor.encoder, test.rows)
    errors = predictor.condensed(test.rows, test.truth)[:, 0] - test.truth
    counts = {"user": index.user_rows[coded[:, 0]], "item": index.item_rows[coded[:, 1]]}
    unknown = {"user": coded[:, 0] == 0, "item": coded[:, 1] == 0}
    return {side: [*_bins(np.where(unknown[side], 0, rows), errors)] for side, rows in counts.items()}


def _bins(rows: Array, errors: Array) -> list[dict[str, Any]]:
    """Return the root of the mean squared error by number of ratings."""
    found = []
    for low, high in zip((0, 1, *BORDERS[1:]), (1, *BORDERS[1:], None), strict=False):
        inside = (rows >= low) & (rows < high if high is not None else True)
        if inside.any():
            name = "none: unknown" if high == 1 else f"{low} to {high - 1}" if high else f"{low} or more"
            rmse = float(np.sqrt(np.mean(errors[inside] ** 2)))
            found.append({"ratings": name, "test rows": int(inside.sum()), "RMSE": rmse})
    return found


def _index(predictor: Predictor) -> VectorIndex:
    if predictor.index is None:
        raise DataError("expected index.npz beside the model, which recommends", hint="tiltyard train TASK")
    return predictor.index


def _evaluator(predictor: Predictor) -> Recommendation:
    return Recommendation(predictor.encoder.target["interaction"]["relevant"])


def _known(encoder: Encoder, train: tuple[Features, Array]) -> Array:
    """Return the codes of user and item, and the ratings, of training rows."""
    return np.column_stack([codes(encoder, train[0][:]), train[1]])


def _ratings(predictor: Predictor, train: tuple[Features, Array]) -> Ratings:
    index, known = _index(predictor), _known(predictor.encoder, train)
    sizes = len(index.users), len(index.items)
    return Ratings.of(known[:, :2], known[:, 2], _evaluator(predictor).relevant, sizes)
