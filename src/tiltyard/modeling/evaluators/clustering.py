"""Evaluation of clusterings: how compact and apart clusters are, and how well they agree with labels, if there are any.

The silhouette of a row compares its distances to the mean rows of its own and of the next cluster, which is exact for
any number of rows. The usual one, by pairs of rows, is in the report for some rows.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.figures import Figure, histogram, matrix
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.partitions import adjusted_rand_index, contingency, normalised_mutual_information
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems._k_means import KMeans, squared_distances
from tiltyard.modeling.problems.base import Target
from tiltyard.modeling.problems.clustering import split

MAX_LISTED = 10  # rows in a report
MAX_ROWS = 10_000  # training rows that the baseline is fitted to
STARTS = 4  # of the baseline
FEATURES = "features"  # name of the standardised features in the rows of the baseline


def assigned(outputs: Array) -> Array:
    """Return the cluster of each row."""
    return np.asarray(split(outputs)[0].argmax(axis=1))


def silhouettes(outputs: Array) -> Array:
    """Return the silhouette of each row by the mean rows of clusters, from -1 to 1."""
    squares, places = split(outputs)[1].astype(np.float64), np.arange(len(outputs))
    own = squares[places, assigned(outputs)]
    others = squares.copy()
    others[places, assigned(outputs)] = np.inf
    inside, outside = np.sqrt(own), np.sqrt(others.min(axis=1))
    return np.asarray((outside - inside) / np.maximum(np.maximum(inside, outside), np.finfo(float).tiny))


def _inertia(_: Array, outputs: Array, __: Context) -> float:
    return float(split(outputs)[1][np.arange(len(outputs)), assigned(outputs)].mean(dtype=np.float64))


UNLABELLED: dict[str, Metric] = {
    "silhouette": Metric(
        "Silhouette by cluster means",
        lambda _, outputs, __: float(silhouettes(outputs).mean()),
        higher_is_better=True,
        meaning="how much nearer rows are to the mean of their cluster than to that of the next one, from -1 to 1, in "
        "the standardised features",
        bounds=(-1, 1),
    ),
    "inertia": Metric(
        "Inertia",
        _inertia,
        higher_is_better=False,
        meaning="the mean squared difference of a row from the mean of its cluster, in the standardised features",
        bounds=(0, math.inf),
    ),
}
LABELLED: dict[str, Metric] = {
    "ari": Metric(
        "Adjusted Rand index (ARI)",
        lambda truth, outputs, _: adjusted_rand_index(truth, assigned(outputs)),
        higher_is_better=True,
        meaning="how well clusters agree with labels that training has not seen: 1 for the same groups, 0 by chance",
        bounds=(-1, 1),
    ),
    "nmi": Metric(
        "Normalised mutual information (NMI)",
        lambda truth, outputs, _: normalised_mutual_information(truth, assigned(outputs)),
        higher_is_better=True,
        meaning="the information that clusters have about labels that training has not seen, from 0 to 1",
        bounds=(0, 1),
    ),
    **UNLABELLED,
}


class Clustering(Evaluator):
    """The baseline is k-means on the features; of k-means itself, centres that are random rows."""

    metrics = LABELLED
    baseline_title: ClassVar = "k-means on the features of training rows; for k-means itself, random rows as centres"

    def __init__(self, clusters: int = 2, *, is_k_means: bool = False, target: Target | None = None) -> None:
        self.clusters, self.is_k_means, self.target = clusters, is_k_means, target or Target(column="")
        self.metrics = LABELLED if target is None or target.classes else UNLABELLED

    def of(self, target: Target) -> Evaluator:
        """Return the evaluator that knows whether there are labels."""
        return type(self)(self.clusters, is_k_means=self.is_k_means, target=target)

    def with_clusters(self, clusters: int, *, is_k_means: bool) -> Evaluator:
        """Return the evaluator for so many clusters."""
        return type(self)(clusters, is_k_means=is_k_means, target=self.target)

    def baseline(self, train: Array, rows: Rows, metric: str) -> Array:
        """Return memberships and squared differences; `train` and `rows` hold standardised features."""
        places = np.unique(np.linspace(0, len(train) - 1, min(MAX_ROWS, len(train))).astype(np.int64))
        known, asked = (part.astype(np.float32) for part in (train[places], rows[FEATURES]))
        if self.is_k_means:
            means = centres = KMeans.random(known, self.clusters, 0).centres
        else:
            centres = KMeans.fit(known, self.clusters, 0, STARTS).centres
            means = _means(known, centres)
        cluster = squared_distances(asked, centres).argmin(axis=1)
        squares = squared_distances(asked, means) / asked.shape[1]
        return np.concatenate([np.eye(self.clusters)[cluster], squares], axis=1)

    def details(self, predictions: Predictions) -> dict[str, Any]:
        """Return clusters with their test rows and labels, and the rows that fit their cluster worst."""
        cluster, scores = assigned(predictions.outputs), silhouettes(predictions.outputs)
        order = np.argsort(scores, kind="stable")
        numbers = predictions.number
        shown = [
            {"row": int(numbers[place]), "cluster": int(cluster[place]), "silhouette": float(scores[place])}
            for place in order[:MAX_LISTED]
        ]
        records = [
            {
                "cluster": number,
                "test rows": int(own.sum()),
                "silhouette": float(scores[own].mean()) if own.any() else None,
            }
            for number in range(predictions.outputs.shape[1] // 2)
            for own in [cluster == number]
        ]
        return {"worst": shown, "per_cluster": [{**record, **self._most(predictions, record)} for record in records]}

    def _most(self, predictions: Predictions, record: dict[str, Any]) -> dict[str, Any]:
        """Return the most frequent label of a cluster, and its share of the rows."""
        labels, inside = self.target.labels, assigned(predictions.outputs) == record["cluster"]
        if not labels:
            return {}
        if not inside.any():
            return {"most frequent label": None, "its share": None}
        counts = np.bincount(predictions.truth[inside].astype(np.int64), minlength=len(labels))
        return {"most frequent label": labels[int(counts.argmax())], "its share": float(counts.max() / counts.sum())}

    def plots(self, predictions: Predictions) -> dict[str, dict[str, list[Any]]]:
        """Return cluster and silhouette of every row."""
        cluster, scores = assigned(predictions.outputs).tolist(), silhouettes(predictions.outputs).tolist()
        return {"clusters": {"row": predictions.number.tolist(), "cluster": cluster, "silhouette": scores}}

    def figures(self, predictions: Predictions) -> list[Figure]:
        """Return the silhouettes of rows, and the labels in each cluster if there are any."""
        model, baseline = silhouettes(predictions.outputs), silhouettes(predictions.baseline)
        text = "How much nearer each test row is to the mean of its cluster than to the next; the baseline is dashed."
        shown = [histogram("Silhouette", text, {"model": model, "baseline": baseline})]
        if labels := self.target.labels:
            table = contingency(predictions.truth, assigned(predictions.outputs))
            clusters = [f"{place}" for place in range(table.shape[1])]
            text = "Test rows with each label, by cluster. Training has not seen the labels."
            names = labels[: len(table)], clusters
            shown.append(matrix("Labels and clusters", text, ("Label", "Cluster"), names, table, by_row=True))
        return shown


def _means(rows: Array, centres: Array) -> Array:
    """Return the mean of the rows that are nearest to each centre; of one without rows, the centre."""
    nearest = squared_distances(rows, centres).argmin(axis=1)
    own = [rows[nearest == place] for place in range(len(centres))]
    return np.stack([part.mean(axis=0) if len(part) else centre for part, centre in zip(own, centres, strict=True)])
