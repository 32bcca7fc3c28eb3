"""Evaluation of clusterings: the baseline, silhouettes by pairs of rows, mean rows, and a map of the test rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.evaluation.reconstruction import standardised_sample
from tiltyard.modeling.evaluators.clustering import FEATURES, assigned
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.metrics.principal_components import PrincipalComponents
from tiltyard.modeling.problems._k_means import squared_distances
from tiltyard.modeling.problems.clustering import CLUSTERS
from tiltyard.modeling.problems.reconstruction import standardised
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.sealed_test import TestRows

PAIRED_ROWS = 2000  # test rows whose silhouettes are computed by pairs
MAP_ROWS = 1500  # test rows on the map


def baseline(task: Task, encoder: Encoder, train: tuple[Features, Array], test: TestRows) -> Array:
    """Return the outputs of k-means on the features of training rows, for the test rows."""
    rows = {FEATURES: standardised(encoder, encoder.encode(test.rows))}
    return task.evaluator.baseline(standardised_sample(encoder, train[0]), rows, task.gate.metric)


def facts(task: Task, predictor: Predictor, test: TestRows, predictions: Predictions) -> dict[str, Any]:
    """Return what the report shows of clusters; nothing for other problems."""
    if not task.problem_type.clusters:
        return {}
    features = standardised(predictor.encoder, predictor.encoder.encode(test.rows))
    paired, shown = (_spread(len(features), rows) for rows in (PAIRED_ROWS, MAP_ROWS))
    silhouettes = {
        name: silhouette_by_pairs(features[paired], assigned(outputs[paired]))
        for name, outputs in (("model", predictions.outputs), ("baseline", predictions.baseline))
    }
    components = PrincipalComponents.of(features, 2)
    places = (features[shown] - components.mean) @ components.directions.T
    return {
        CLUSTERS: predictor.encoder.target[CLUSTERS],
        "silhouette_by_pairs": {**silhouettes, "rows": len(paired)},
        "map": {
            "x": places[:, 0].round(4).tolist(),
            "y": places[:, -1].round(4).tolist(),
            "cluster": assigned(predictions.outputs[shown]).tolist(),
        },
    }


def silhouette_by_pairs(rows: Array, cluster: Array) -> float | None:
    """Return the mean silhouette by mean distances to the rows of each cluster; None if there is a single cluster."""
    numbers, own = np.unique(cluster, return_inverse=True)
    if len(numbers) < 2:
        return None
    rows = rows.astype(np.float64)
    distances = np.sqrt(squared_distances(rows, rows))
    np.fill_diagonal(distances, 0)
    flags = np.eye(len(numbers))[own]
    sums, sizes, places = distances @ flags, flags.sum(axis=0), np.arange(len(rows))
    inside = sums[places, own] / np.maximum(sizes[own] - 1, 1)
    outside = np.where(flags > 0, np.inf, sums / sizes).min(axis=1)
    scores = (outside - inside) / np.maximum(np.maximum(inside, outside), np.finfo(float).tiny)
    return float(np.where(sizes[own] > 1, scores, 0).mean())


def _spread(total: int, rows: int) -> Array:
    return np.unique(np.linspace(0, total - 1, min(rows, total)).astype(np.int64))
