"""Two towers: the loss of the ranking by hand, unknown identifiers, settings, and what a task may not ask for."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from readers import TASK, write_readers

from tiltyard.config import loader
from tiltyard.errors import DataError, RegistryError, TaskError
from tiltyard.modeling.inference.fold_in import Choice, Prior, rating_vector
from tiltyard.modeling.inference.vector_index import VectorIndex
from tiltyard.modeling.models._random_layers import UnknownIds
from tiltyard.modeling.models.two_tower import Side, Sides, TwoTower
from tiltyard.training import recommendation
from tiltyard.training.item_index import _one_row_each
from tiltyard.workspace import Workspace

FEATURES = np.array([[1, 1, 0.5], [2, 2, -1], [1, 3, 0], [3, 1, 0.5]], dtype=np.float32)  # user, item, a number


def family(**settings: Any) -> TwoTower:
    """Return small towers that know which features they read, and that items are equally frequent."""
    model = TwoTower(family="two_tower", factors=2, ranking_factors=1, **settings)
    model.locate_sides(Sides(Side(0, 4, []), Side(1, 4, [2]), np.log(np.full(4, 0.25, dtype=np.float32)), 0.0))
    return model


def built(model: TwoTower) -> keras.Model:
    """Return the network."""
    features = keras.Input((3,), name="features")
    return keras.Model(features, model.head(model.build(features), 1, "linear"))


def test_ranking_loss_worked_by_hand() -> None:
    """Rows 1 and 3 are well rated; their items compete with those of other rows, but not with the same item."""
    x = np.array([[1, 1, 0], [2, 1, 0], [3, 2, 0]], dtype=np.float32)
    y = np.array([1.0, -1.0, 0.5], dtype=np.float32)
    user = np.array([[0, 0, 0, 1, 0], [0, 0, 0, 5, 0], [0, 0, 0, 2, 0]], dtype=np.float32)
    item = np.array([[0, 0, 0, 1, 0.5], [0, 0, 0, 1, 0.5], [0, 0, 0, 3, 0]], dtype=np.float32)
    loss = float(ops.convert_to_numpy(recommendation.ranking_loss(family(), (x, y), (user, item))))
    first = -np.log(np.exp(1.5) / (np.exp(1.5) + np.exp(3.0)))  # item 1 against item 2; the second row is item 1, too
    third = -np.log(np.exp(6.0) / (np.exp(6.0) + 2 * np.exp(2.5)))
    assert loss == pytest.approx((first + third) / 2, rel=1e-5)


def test_frequent_items_get_no_advantage_from_their_draws() -> None:
    """The logarithm of the share of an item is taken off its score."""
    model = family()
    shares = np.log(np.array([1e-7, 0.5, 0.25, 0.25], dtype=np.float32))
    x, y = np.array([[1, 1, 0], [2, 2, 0]], dtype=np.float32), np.ones(2, dtype=np.float32)
    user, item = np.zeros((2, 5), dtype=np.float32), np.zeros((2, 5), dtype=np.float32)
    model.locate_sides(Sides(model.sides.user, model.sides.item, shares, 0.0))
    loss = float(ops.convert_to_numpy(recommendation.ranking_loss(model, (x, y), (user, item))))
    assert loss == pytest.approx(-(np.log(1 / 3) + np.log(2 / 3)) / 2, rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"score": "cosine"}, {"units": [4], "activation": "tanh"}])
def test_rating_is_the_product_of_the_vectors(settings: dict[str, Any]) -> None:
    """The output is the product of the rating's parts plus both biases."""
    keras.utils.set_random_seed(0)
    model = family(**settings)
    body = built(model)
    rating, user, item = (np.asarray(part) for part in recommendation.with_vectors(body)(FEATURES))
    expected = (user[:, :2] * item[:, :2]).sum(axis=1) + user[:, 2] + item[:, 2]
    assert rating[:, 0] == pytest.approx(expected, rel=1e-5)
    assert user[0] == pytest.approx(user[2])  # the same user
    if settings.get("score") == "cosine":
        assert np.linalg.norm(user[:, :2], axis=1) == pytest.approx(np.ones(4), rel=1e-4)


def test_unknown_identifiers_are_trained() -> None:
    """In training a share of the identifiers is 0; otherwise none."""
    layer, ids = UnknownIds(0.3, seed=1), np.ones((2000, 1), dtype=np.float32)
    assert np.asarray(layer(ids)).all()
    assert 1 - np.asarray(layer(ids, training=True)).mean() == pytest.approx(0.3, abs=0.05)


def test_penalty_and_ranking_count_in_the_loss() -> None:
    """The loss of training is that of the ratings plus ranking and penalty; that of validation has no penalty."""
    keras.utils.set_random_seed(0)
    targets = np.array([0.5, -1, 1, 0], dtype=np.float32)

    def losses(**settings: Any) -> tuple[float, float]:
        keras.utils.set_random_seed(0)
        model = family(unknown=0.0, **settings)
        trainer = recommendation.build_trainer(model, recommendation.with_vectors(built(model)))
        trainer.compile("sgd", "mse")
        outputs = trainer(FEATURES)
        both = (trainer.compute_loss(FEATURES, targets, outputs, training=training) for training in (True, False))
        first, second = (float(ops.convert_to_numpy(loss)) for loss in both)
        return first, second

    plain, ranked, penalised = losses(ranking=0.0), losses(ranking=0.5), losses(ranking=0.0, l2=10.0)
    assert plain[0] == pytest.approx(plain[1])
    assert ranked[0] == pytest.approx(ranked[1])
    assert ranked[0] > plain[0]
    assert penalised[0] > penalised[1] == pytest.approx(plain[1])


def test_a_tower_needs_to_know_its_features() -> None:
    """Without them a sentence says what to call."""
    with pytest.raises(ValueError, match="call locate_sides before build"):
        TwoTower(family="two_tower").build(keras.Input((3,)))


def test_fold_in_of_ratings_is_ridge_regression() -> None:
    """With a prior of mean 0 and the unit covariance, and noise 1, it is ridge regression."""
    generator = np.random.default_rng(0)
    design, ratings = generator.normal(size=(30, 4)), generator.normal(size=30)
    found = rating_vector(Prior(np.zeros(4), np.eye(4)), design, ratings, 1.0)
    assert found == pytest.approx(np.linalg.solve(np.eye(4) + design.T @ design, design.T @ ratings))


def test_fold_in_of_choices_is_a_maximum() -> None:
    """No small step makes the choices more probable, and choices move the vector away from the mean."""
    generator = np.random.default_rng(1)
    vectors, bias = generator.normal(size=(50, 3)), generator.normal(size=50)
    prior = Prior.of(generator.normal(size=(200, 3)) @ np.diag([1.0, 2.0, 0.5]))
    choice = Choice(prior, vectors, bias, np.array([3, 7, 7, 20]))
    best = choice.vector()
    value = choice._value(best)[0]
    assert value > choice._value(prior.mean)[0]
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3:
        assert choice._value(best + step)[0] < value


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"problem": "regression"}, "target.interaction: expected none for regression"),
        ({"target": {"column": "rating"}}, "target.interaction: expected the columns of user and item"),
        ({"model": {"family": "mlp"}}, "model.family: expected two_tower for recommendation"),
        ({"train": {**TASK["train"], "members": 2}}, "train.members: expected none for recommendation"),
        ({"columns": {**TASK["columns"], "pages": {"type": "id"}}}, "expected user and item to be the two columns"),
        ({"gate": {"metric": "r2"}}, "gate.metric: expected one of rmse, mae, ndcg_at_10"),
    ],
)
def test_task_files_are_checked(tmp_path: Any, changes: dict[str, Any], text: str) -> None:
    """Each mistake is named by its key, with what is expected."""
    workspace = Workspace(tmp_path)
    (tmp_path / "tasks").mkdir()
    write_readers(workspace, **changes)
    with pytest.raises(TaskError, match=text):
        loader.load(workspace, "readers")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"user_features": ["price"]}, "interaction.user_features: expected columns out of kind, pages"),
        ({"title": "rating"}, "interaction.title: expected the column of names"),
        ({"relevant": 6}, "interaction.relevant: expected above 1, at most 5"),
        ({"item": "reader"}, "expected user and item to be the two columns"),
    ],
)
def test_interactions_are_checked(tmp_path: Any, changes: dict[str, Any], text: str) -> None:
    """The columns of an interaction must be there, and good ratings be possible."""
    target = {**TASK["target"], "interaction": {**TASK["target"]["interaction"], **changes}}
    test_task_files_are_checked(tmp_path, {"target": target}, text)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_damaged_index_is_refused(tmp_path: Any, content: bytes) -> None:
    """A file that is no index ends in a message, not in a traceback."""
    (tmp_path / "index.npz").write_bytes(content)
    with pytest.raises(RegistryError, match="is no vector index"):
        VectorIndex.load(tmp_path / "index.npz")


def test_ids_only_for_recommendation(tmp_path: Any) -> None:
    """A regression cannot read identifiers."""
    target, model = {"column": "rating"}, {"family": "mlp"}
    test_task_files_are_checked(
        tmp_path,
        {"problem": "regression", "target": target, "model": model},
        "columns.reader: expected id columns only",
    )


def test_items_have_one_value_of_each_feature(tmp_path: Any) -> None:
    """A column that changes between the rows of an item does not describe it."""
    (tmp_path / "tasks").mkdir()
    workspace = Workspace(tmp_path)
    write_readers(workspace)
    task = loader.load(workspace, "readers")
    rows = {
        "reader": np.array(["a", "b", "a"]),
        "book": np.array(["x", "x", "y"]),
        "kind": np.array(["crime", "crime", "poetry"]),
        "pages": np.array([100.0, 200.0, 300.0]),
    }
    encoder = task.encoder().fit(task.target, rows, np.array([1.0, 2.0, 5.0]))
    features = encoder.encode(rows)
    code = features[:, 1].astype(int)
    assert len(_one_row_each(encoder, features, code, "book", ["kind"])) == 3
    with pytest.raises(DataError, match=r"columns\.pages: expected one value for each book.*changes for x"):
        _one_row_each(encoder, features, code, "book", ["kind", "pages"])
