"""A simple model of the same features, a linear one or a small tree: what a network must be worth more than."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.metrics.base import Context
from tiltyard.preparation.array_file import open_part
from tiltyard.workspace import Workspace

ROWS = 20_000  # learned from at most: a simple model needs no more
WIDEST = 1024  # features
DEPTH = 6  # of a tree that people can still read


@dataclass(frozen=True)
class SimpleModel:
    """Which of the two it is, and what it answers on the sealed rows."""

    name: str
    outputs: Array


def simple(workspace: Workspace, task: Task, features: Array, context: Context) -> SimpleModel | None:
    """Learn both from training rows, and let the better one by the validation rows answer; None where none fits."""
    folder = workspace.out(task.name, "prepare")
    train, validation = (_part(folder, name) for name in ("train", "validation"))
    if task.kind.targets == "text" or task.target.interval or _words(task) or train[0].shape[1] > WIDEST:
        return None
    found = [(name, model.fit(*train)) for name, model in _models(task)]

    def loss(one: tuple[str, Any]) -> float:
        value = task.metric.score(validation[1], _outputs(task, one[1], validation[0]), context)
        return -value if task.metric.higher_is_better else value

    name, best = min(found, key=loss)
    return SimpleModel(name, _outputs(task, best, _flat(features)))


def _words(task: Task) -> bool:
    return task.form in ("text", "prose")


def _models(task: Task) -> Iterator[tuple[str, Any]]:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tree = {"max_depth": DEPTH, "min_samples_leaf": 5, "random_state": 0}
    linear, small = (
        (LogisticRegression(max_iter=200, tol=1e-3), DecisionTreeClassifier(**tree))
        if task.classes
        else (Ridge(), DecisionTreeRegressor(**tree))
    )
    yield "a linear model", make_pipeline(StandardScaler(), linear)
    yield "a small tree", small


def _part(folder: Any, name: str) -> tuple[Array, Array]:
    """Read the first rows, which are there in no order that matters."""
    features, truth = open_part(folder / f"{name}.npz")
    return _flat(features[:ROWS]), truth[:ROWS]


def _flat(features: Array) -> Array:
    return features.reshape(len(features), -1).astype(np.float64)


def _outputs(task: Task, model: Any, features: Array) -> Array:
    """Return outputs as a network would; a class that the training rows lack has no probability."""
    if not task.classes:
        values = model.predict(features)
        return np.asarray(values.reshape(len(features), -1))
    shares = np.zeros((len(features), len(task.classes)))
    shares[:, model.classes_.astype(int)] = model.predict_proba(features)
    return shares
