"""Ranking metrics, simple models of ratings, and cosines: values worked by hand, and what they are by definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score
from sklearn.metrics.pairwise import cosine_similarity

from tiltyard.arrays import Array
from tiltyard.modeling.inference.vector_index import cosines
from tiltyard.modeling.metrics.ranking import NDCG, RECALL, RECIPROCAL, WEIGHT, gini, mean_over_users, of_users, ranks
from tiltyard.modeling.metrics.rating_baselines import ItemNeighbours, Ratings


def test_cosines_worked_by_hand() -> None:
    """(1, 2, 2) and (2, 1, 2): 8 / (3 x 3); (0, 3, 4) and (1, 2, 2): 14 / 15; of (0, 0, 0) there is none: 0."""
    vectors = np.array([[1.0, 2, 2], [2, 1, 2], [0, 3, 4], [-1, -2, -2], [0, 0, 0]])
    assert cosines(vectors, vectors[0]) == pytest.approx([1, 8 / 9, 14 / 15, -1, 0])


def test_cosines_are_those_of_scikit_learn() -> None:
    """Rows of ratings, where 0 is no rating, are compared as in the library."""
    table = np.random.default_rng(0).integers(0, 6, (7, 12)).astype(np.float64)
    assert cosines(table, table[2]) == pytest.approx(cosine_similarity(table, table[2:3])[:, 0])


def ranked(scores: list[float], item: list[int], hidden: list[int]) -> list[float]:
    """Return the ranks of items of one user; item 0 is none."""
    found = ranks(
        lambda _: np.array([9.0, *scores]), np.ones(len(item), int), np.array(item), lambda _: np.array(hidden, int)
    )
    ranks_of_rows: list[float] = found.tolist()
    return ranks_of_rows


def test_hidden_items_take_no_place() -> None:
    """Item 2 would be first, but the user has rated it; of equal scores the lower code is first; 0 is nowhere."""
    assert ranked([3, 5, 3, 4], [1, 3, 4, 0], [2]) == [2, 3, 1, math.inf]


def test_an_evaluated_item_is_never_hidden() -> None:
    """A pair of user and item that is in both parts is ranked."""
    assert ranked([3, 5, 3, 4], [2], [2, 4]) == [1]


def test_values_of_a_user_worked_by_hand() -> None:
    """Relevant items at ranks 1 and 3: NDCG (1 + 1/2) / (1 + 1/log2 3); recall of two at 2: 1/2; first at 1."""
    user, rank = np.array([7, 7, 7, 9, 9]), np.array([1.0, 3, 2, 4, 5])
    relevant = np.array([True, True, False, False, False])
    values = of_users(rank, relevant, user, top=2)
    assert values[0] == pytest.approx([1 / (1 + 1 / math.log2(3)), 1 / 2, 1, 1 / 3])
    assert (values[3:, WEIGHT - 1] == 0).all()  # nobody can find what user 9 likes
    assert of_users(rank, relevant, user)[0][0] == pytest.approx(1.5 / (1 + 1 / math.log2(3)))


def test_ndcg_is_that_of_scikit_learn() -> None:
    """For one user with all items in the test rows, the value is the library's."""
    generator = np.random.default_rng(3)
    scores, relevant = generator.normal(size=30), generator.random(30) < 0.3
    rank = np.array(ranked(scores.tolist(), list(range(1, 31)), []))
    expected = ndcg_score(relevant[None].astype(float), scores[None], k=10)
    assert of_users(rank, relevant, np.zeros(30, int))[0, 0] == pytest.approx(expected)


def test_means_are_over_users_not_rows() -> None:
    """A user with three rows counts as much as one with one; drawn twice, twice as much."""
    user, rank = np.array([1, 1, 1, 2]), np.array([1.0, 11, 12, 20])
    outputs = np.column_stack([np.zeros(4), of_users(rank, np.array([True, False, False, True]), user)])
    assert mean_over_users(outputs, RECALL) == pytest.approx(1 / 2)
    assert mean_over_users(outputs, RECIPROCAL) == pytest.approx((1 + 1 / 20) / 2)
    assert mean_over_users(outputs[[0, 1, 2, 3, 3]], NDCG) == pytest.approx(1 / 3)
    assert mean_over_users(outputs[:0], NDCG) == 0


def test_gini_worked_by_hand() -> None:
    """Equal counts: 0; one of four items has all: 3/4; (1, 2, 3): 2/9; nothing: 0."""
    counts = [[2, 2, 2], [0, 0, 0, 8], [3, 1, 2], [0, 0]]
    assert [gini(np.array(row)) for row in counts] == pytest.approx([0, 3 / 4, 2 / 9, 0])


def three_users() -> Ratings:
    """Two users rate items 1 and 2 alike, the third one differently; item 3 has one rating."""
    codes = np.array([[1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 3]])
    return Ratings.of(codes, np.array([5.0, 4, 5, 4, 1, 2]), relevant=4)


def test_means_are_shrunk_to_the_mean() -> None:
    """Of one rating little is believed; the unknown user and item get the mean of all ratings."""
    ratings = three_users()
    mean, of_user, of_item = ratings.biases
    assert mean == pytest.approx(21 / 6)
    assert of_user[0] == of_item[0] == 0
    assert of_user[1] > 0 > of_user[3]
    assert ratings.by_biases(np.array([0]), np.array([0])) == pytest.approx([21 / 6])
    rest = 2 - mean - of_user[3]  # of the one rating of item 3; its mean was estimated before that of the user
    assert of_item[3] == pytest.approx(rest / 11, abs=1e-3)


def test_popularity_counts_rows() -> None:
    """Items are as popular as they have training rows."""
    assert three_users().popularity.tolist() == [0, 3, 2, 1]


def test_neighbours_are_liked_together() -> None:
    """Who likes item 1 is told of item 2, which the same users like, and not of item 3."""
    neighbours = ItemNeighbours(three_users())
    scores: Array = neighbours.scores(1)
    assert scores[2] > scores[3] == 0
    assert neighbours.likeness[1, 2] == pytest.approx(1 * 2 / (2 + 20))  # cosine 1, of two users who rated both
    predicted = neighbours.predicted(np.array([1, 0]), np.array([2, 2]))
    assert predicted[0] > predicted[1]
