"""Clustering: k-means, agreement and silhouettes against scikit-learn, and what a task file may not ask for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from machines import TASK, write_machines
from sklearn.cluster import KMeans as Oracle
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.evaluation.clustering import silhouette_by_pairs
from tiltyard.modeling.evaluators.clustering import FEATURES, Clustering, silhouettes
from tiltyard.modeling.metrics.partitions import adjusted_rand_index, normalised_mutual_information
from tiltyard.modeling.problems._k_means import KMeans, squared_distances
from tiltyard.workspace import Workspace

CHANGES: dict[str, Any] = {
    "problem": "clustering",
    "model": {"family": "kmeans", "clusters": 3},
    "train": {"epochs": 1},
    "gate": {"metric": "silhouette"},
}


def test_k_means_is_as_good_as_that_of_scikit_learn() -> None:
    """The inertia of the best of ten starts is that of scikit-learn's best, within a percent."""
    rows = load_digits().data / 16
    found = KMeans.fit(rows, 10, 0, 10)
    oracle = Oracle(10, n_init=10, random_state=0).fit(rows)
    assert found.inertia(rows.astype(np.float32)) == pytest.approx(oracle.inertia_ / len(rows), rel=0.01)
    assert all(after <= before + 1e-4 for before, after in itertools.pairwise(found.inertias))


def test_separate_groups_are_found() -> None:
    """Each of five far groups is one cluster; the same seed gives the same centres."""
    rows, truth = make_blobs(200, 3, centers=5, cluster_std=0.1, random_state=1)
    found = KMeans.fit(rows, 5, 0, 5)
    assert adjusted_rand_index(truth, squared_distances(rows, found.centres).argmin(axis=1)) == 1
    assert np.array_equal(found.centres, KMeans.fit(rows, 5, 0, 5).centres)


def test_fewer_distinct_rows_than_clusters() -> None:
    """Repeated rows leave clusters empty; nothing is infinite."""
    rows = np.repeat([[0.0, 1.0], [2.0, 3.0]], 10, axis=0)
    for found in (KMeans.fit(rows, 4, 0, 2), KMeans.random(rows, 4, 0)):
        assert found.centres.shape == (4, 2)
        assert np.isfinite(found.centres).all()
        assert found.inertia(rows.astype(np.float32)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_that_of_scikit_learn(seed: int) -> None:
    """Adjusted Rand index and mutual information of random partitions, also of one part, are equal."""
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 4, 100), generator.integers(0, 6, 100)
    second = np.where(generator.random(100) < 0.5, first, second)
    for one, other in ((first, second), (first, np.zeros(100)), (np.zeros(100), np.zeros(100)), (first, first + 1)):
        assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
        assert normalised_mutual_information(one, other) == pytest.approx(normalized_mutual_info_score(one, other))


def test_silhouette_by_pairs_is_that_of_scikit_learn() -> None:
    """Also with a cluster of one row, whose silhouette is 0; of a single cluster there is none."""
    rows = load_digits().data[:300]
    cluster = np.random.default_rng(0).integers(0, 5, 300)
    cluster[7] = 5
    assert silhouette_by_pairs(rows, cluster) == pytest.approx(silhouette_score(rows, cluster), abs=1e-5)
    assert silhouette_by_pairs(rows, np.zeros(300)) is None


def test_silhouette_by_means() -> None:
    """It compares the distances to the means of the own and of the next cluster."""
    outputs = np.array([[0.9, 0.1, 0.0, 1.0, 4.0, 9.0], [0.1, 0.9, 0.0, 1.0, 4.0, 9.0], [1.0, 0, 0, 0, 0, 0]])
    assert silhouettes(outputs).tolist() == pytest.approx([(2 - 1) / 2, (1 - 2) / 2, 0])


def test_baseline_is_k_means_on_features() -> None:
    """It finds far groups; for k-means itself it is random rows, which are worse."""
    rows, truth = make_blobs(600, 2, centers=4, cluster_std=0.05, random_state=1)
    kind = Clustering(4)
    scores = kind.scores(truth, kind.baseline(rows[:400], {FEATURES: rows}, "ari"), {})
    assert scores["ari"] == scores["nmi"] == 1
    assert scores["silhouette"] > 0.9
    assert scores["inertia"] == pytest.approx(0.0025, rel=0.1)
    random = Clustering(4, is_k_means=True)
    assert random.scores(truth, random.baseline(rows[:400], {FEATURES: rows}, "ari"), {})["inertia"] > 0.0025


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"target": {"column": "wear"}}, "target: expected column and classes, by which clusters are evaluated"),
        (
            {"target": {"column": "wear", "classes": ["a", "b"], "horizon": 2}},
            "received classes, column, horizon",
        ),
        ({"target": {"column": "wear", "classes": ["a", "a"]}}, "target.classes: expected each label once"),
        ({"model": {"family": "mlp"}}, "model.family: expected kmeans or deep_clustering for clustering; received mlp"),
        ({"problem": "reconstruction", "gate": {"metric": "mse"}}, "model.family: expected autoencoder"),
        (
            {"columns": {**TASK["columns"], "day": {"type": "date"}}},
            "columns: expected numbers, names, flags or images for clustering; received day, date",
        ),
        ({"derived": {"x": {"op": "product", "of": ["load", "heat"]}}}, "derived: expected none for clustering"),
        ({"gate": {"metric": "silhouette", "sensitive": ["kind"]}}, "expected no behaviours and no sensitive columns"),
        ({"gate": {"metric": "ari"}}, "gate.metric: expected one of silhouette, inertia for clustering; received ari"),
        ({"train": {"epochs": 1, "folds": 3}}, "train.folds: expected none for clustering; received it"),
        ({"model": {"family": "kmeans", "clusters": 1}}, "model.clusters"),
        ({"model": {"family": "kmeans", "clusters": 3, "blend_references": True}}, "since clusters of two models"),
        ({"split": {"kind": "stratified"}}, "split.kind: expected random or chronological"),
    ],
)
def test_task_files_that_make_no_sense_are_refused(workspace: Workspace, changes: dict[str, Any], text: str) -> None:
    """The message names the key, the expected and the received."""
    write_machines(workspace, **{**CHANGES, **changes})
    with pytest.raises(TaskError) as caught:
        loader.load(workspace, "machines")
    assert text in str(caught.value)


def test_mean_rows_are_bounded(workspace: Workspace) -> None:
    """A package holds at most 2^21 numbers of mean rows: two of images of a megapixel."""
    serve = {"max_instances": 5, "example": [[0] * 1000] * 1000}
    columns = {"image": {"type": "image", "height": 1000, "width": 1000}}
    write_machines(workspace, **{**CHANGES, "columns": columns, "serve": serve})
    with pytest.raises(TaskError, match="expected at most 2, since the mean row of each has 1,000,000 numbers"):
        loader.load(workspace, "machines")


def test_clusters_need_a_clustering(workspace: Workspace) -> None:
    """The families are refused for another problem."""
    write_machines(workspace, **{**CHANGES, "problem": "regression", "target": {"column": "wear"}})
    with pytest.raises(TaskError, match="expected another than kmeans, deep_clustering for regression"):
        loader.load(workspace, "machines")
