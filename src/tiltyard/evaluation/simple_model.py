"""A simple model of the same features (linear or a small tree), to compare the network with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.metrics.base import Context
from tiltyard.preparation.array_file import Features

Part = tuple[Features, Array]  # encoded features, and the truth

MAX_ROWS = 20_000  # used for fitting at most: a simple model needs no more
MAX_FEATURES = 1024
MAX_DEPTH = 6  # of the tree


@dataclass(frozen=True)
class SimpleModel:
    """The name of the model and its outputs for the sealed test rows."""

    name: str
    outputs: Array


def simple(task: Task, parts: tuple[Part, Part], features: Array, context: Context) -> SimpleModel | None:
    """Fit both to the training rows; predict with the better one on the validation rows. None if none applies."""
    if task.problem_type.targets == "text" or task.target.interval or task.modality in ("text", "prose"):
        return None
    train, validation = map(_first_rows, parts)
    if train[0].shape[1] > MAX_FEATURES:
        return None
    metric, classes = task.metric, len(task.classes)
    fitted = [(name, model.fit(*train)) for name, model in _models(labels=classes > 0)]

    def loss(candidate: tuple[str, Any]) -> float:
        value = metric.score(validation[1], _outputs(candidate[1], validation[0], classes), context)
        return -value if metric.higher_is_better else value

    name, best = min(fitted, key=loss)
    return SimpleModel(name, _outputs(best, _flattened(features), classes))


def _models(*, labels: bool) -> Iterator[tuple[str, Any]]:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    options = {"max_depth": MAX_DEPTH, "min_samples_leaf": 5, "random_state": 0}
    linear, tree = (
        (LogisticRegression(max_iter=200, tol=1e-3), DecisionTreeClassifier(**options))
        if labels
        else (Ridge(), DecisionTreeRegressor(**options))
    )
    yield "a linear model", make_pipeline(StandardScaler(), linear)
    yield "a small tree", tree


def _first_rows(part: Part) -> tuple[Array, Array]:
    """Return the first rows; their order is random."""
    features, truth = part
    return _flattened(features[:MAX_ROWS]), truth[:MAX_ROWS]


def _flattened(features: Array) -> Array:
    return features.reshape(len(features), -1).astype(np.float64)


def _outputs(model: Any, features: Array, classes: int) -> Array:
    """Return outputs in the shape of a network; a class without training rows has probability 0."""
    if not classes:
        values = model.predict(features)
        return np.asarray(values.reshape(len(features), -1))
    probabilities = np.zeros((len(features), classes))
    probabilities[:, model.classes_.astype(int)] = model.predict_proba(features)
    return probabilities
