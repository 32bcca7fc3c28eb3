"""Boosted trees with scikit-learn's defaults, on features as they are encoded; for series also on differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.references._name_means import NameMeans, named
from tiltyard.modeling.references.base import ABSENT, Reference

ITERATIONS, MIN_ITERATIONS = 100, 10
MAX_TREES = 1000  # of all labels or steps together
MAX_UNITS = 100  # labels, or steps of a forecast: each has trees of its own


@dataclass(frozen=True)
class Forest:
    """All trees as arrays: row x makes the decision `x[feature] <= threshold` at each node of each tree.

    `paths` is 1 where a leaf is below the true side of a node, -1 below the false side, else 0. Its sum over the true
    decisions is `expected` for the leaf that a row reaches, and less for all others.
    """

    feature: Array  # (trees, nodes)
    threshold: Array  # (trees, nodes), float32, rounded down, so that float32 rows go the same way as by float64
    paths: Array  # (trees, nodes, leaves)
    expected: Array  # (trees, leaves): how often a leaf is below a true side
    scores: Array  # (trees, leaves, units): what a leaf adds to the score of each unit
    start: Array  # (units,): the scores without trees


class BoostedTrees(Reference):
    """Histogram gradient boosting."""

    title: ClassVar = "boosted trees"
    modalities: ClassVar[tuple[str, ...]] = ("table", "series")
    max_rows: ClassVar = 50_000
    max_cells: ClassVar = 4_000_000
    max_width: ClassVar = 2048

    names: NameMeans
    models: list[Any]  # one for all labels; or one for each step of a forecast, and for each of several labels

    def applies(self, width: int) -> bool:
        """Whether it can be fitted: not to very many labels or steps."""
        return super().applies(self.derived_width(width)) and self.subject.units <= MAX_UNITS

    def derived_width(self, width: int) -> int:
        """Return the number of features with means of names instead of their flags."""
        return width - sum(len(places) - 1 for places in named(self.subject))

    def fit(self, features: Array, truth: Array) -> None:
        """Fit it to training rows."""
        targets = self.subject.targets(truth)
        self.names = NameMeans.of(self.subject, features, targets)
        flat = (
            self.names.held_out(features, targets, self.subject.units) if self.names.places else self.derived(features)
        )
        self.fit_trees(flat, truth, self.last(features))

    def fit_trees(self, flat: Array, truth: Array, last: Array | float = 0.0) -> None:
        """Fit trees to features side by side; `last` is what a forecast adds to their scores."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        targets, weights = self.subject.targets(truth), self.subject.weights(truth)
        trees = self.subject.units if self.subject.units != 2 or not self.subject.classes else 1
        settings = {"random_state": 0, "max_iter": max(MIN_ITERATIONS, min(ITERATIONS, MAX_TREES // trees))}
        if self.subject.classes or self.subject.several:
            each = targets.T.astype(np.int64) if self.subject.several else [targets]
            self.models = [
                HistGradientBoostingClassifier(**settings, **_stopping(labels)).fit(flat, labels, weights)
                for labels in each
            ]
            return
        targets = targets - last
        self.models = [HistGradientBoostingRegressor(**settings).fit(flat, step) for step in targets.T]

    def scores(self, features: Array) -> Array:
        """Return a logit for each label, or standardised numbers."""
        flat = self.derived(features)
        if self.subject.several:
            return np.concatenate([np.diff(_logits(model, flat, 2)) for model in self.models], axis=1)
        if not self.subject.classes:
            return np.stack([model.predict(flat) for model in self.models], axis=1) + self.last(features)
        return _logits(self.models[0], flat, self.subject.classes)

    def derived(self, features: Any, ops: Any = np) -> Any:
        """Return the features of a row side by side: of series with differences, of many names with mean targets."""
        flat = ops.reshape(features, (-1, math.prod(features.shape[1:])))
        if self.subject.modality != "series":
            return self.names.replaced(flat, ops)
        differences = ops.reshape(features - features[:, -1:], (-1, math.prod(features.shape[1:])))
        return ops.concatenate([flat, differences], axis=1)

    def forest(self) -> Forest:
        """Return the trees as arrays, for the graph that is served."""
        units, trees, start = self.subject.units, [], np.zeros(self.subject.units)
        for place, model in enumerate(self.models):
            shares = _shares(model, place, units, several=self.subject.several)
            start += model._baseline_prediction.ravel() @ shares  # noqa: SLF001 - scikit-learn has no public access
            trees += [(tree.nodes, shares[k]) for step in model._predictors for k, tree in enumerate(step)]  # noqa: SLF001
        if self.subject.classes:
            start[~np.isin(np.arange(units), self.models[0].classes_)] = ABSENT
        if self.subject.several:
            for place, model in enumerate(self.models):
                if len(model.classes_) == 1:  # no training row has the label, or all have
                    start[place] = -ABSENT if model.classes_[0] else ABSENT
        return _joined(trees, start)


def _stopping(labels: Array) -> dict[str, Any]:
    """Return the setting of early stopping, which needs two rows of each label."""
    rare = np.bincount(labels)[np.unique(labels)].min() < 2
    return {"early_stopping": False} if rare else {}


def _logits(model: Any, flat: Array, classes: int) -> Array:
    """Return a logit for each label."""
    scores = np.full((len(flat), classes), ABSENT)
    if len(model.classes_) < 2:
        scores[:, model.classes_] = 0.0
        return scores
    decisions = model.decision_function(flat)
    scores[:, model.classes_] = decisions if decisions.ndim == 2 else np.stack([-decisions / 2, decisions / 2], axis=1)
    return scores


def _shares(model: Any, place: int, units: int, *, several: bool) -> Array:
    """Return how much each score of a model counts for each unit: one score of two labels is split between both."""
    classes = getattr(model, "classes_", None)
    if classes is None or (several and len(classes) == 2):
        return np.eye(units)[place : place + 1]
    if len(classes) > 2:
        return np.asarray(np.eye(units)[classes])
    shares = np.zeros((1, units))
    shares[0, classes] = (-0.5, 0.5) if len(classes) == 2 else 0.0
    return shares


def _joined(trees: list[tuple[Array, Array]], start: Array) -> Forest:
    """Return trees of any number of nodes as arrays of the largest; what is added is never reached."""
    leaves = max(int(nodes["is_leaf"].sum()) for nodes, _ in trees)
    shape = (len(trees), max(1, leaves - 1))
    forest = Forest(
        np.zeros(shape, np.int64),
        np.zeros(shape, np.float32),
        np.zeros((*shape, leaves), np.float32),
        np.full((len(trees), leaves), len(trees) + leaves, np.float32),
        np.zeros((len(trees), leaves, len(start)), np.float32),
        start,
    )
    for place, (nodes, shares) in enumerate(trees):
        _fill(forest, place, nodes, shares)
    return forest


def _fill(forest: Forest, place: int, nodes: Array, shares: Array) -> None:
    """Write one tree: visit each node with the true and the false decisions above it."""
    decisions, leaves = count(), count()
    pending: list[tuple[int, list[int], list[int]]] = [(0, [], [])]
    while pending:
        number, true, false = pending.pop()
        node = nodes[number]
        if node["is_leaf"]:
            leaf = next(leaves)
            forest.paths[place, true, leaf], forest.paths[place, false, leaf] = 1.0, -1.0
            forest.expected[place, leaf], forest.scores[place, leaf] = len(true), node["value"] * shares
            continue
        decision = next(decisions)
        forest.feature[place, decision] = node["feature_idx"]
        forest.threshold[place, decision] = rounded_down(float(node["num_threshold"]))
        pending.append((int(node["left"]), [*true, decision], false))
        pending.append((int(node["right"]), true, [*false, decision]))


def rounded_down(value: float) -> np.float32:
    """Return the largest float32 that is not above a float64: `x <= value` has the same result for every float32 x."""
    single = np.float32(value)
    return np.nextafter(single, np.float32(-np.inf)) if float(single) > value else single
