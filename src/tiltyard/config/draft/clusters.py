"""Draft a clustering: of a table by k-means, of images by the codes of an autoencoder; labels only evaluate it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft import images, targets, yaml_text
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.examples import example_value
from tiltyard.config.draft.images import ImageProfile
from tiltyard.errors import TaskError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.problems._k_means import KMeans, squared_distances

if TYPE_CHECKING:
    import pandas as pd

    from tiltyard.config.draft.reading import DraftTable

MAX_ROWS = 2000  # by which the number of clusters is chosen
MOST_CLUSTERS = 10
USUAL_CLUSTERS = 3  # if there are no numbers to choose by
MAX_LABELS = 50  # of a target that evaluates clusters
FEW_ROWS = 1000  # images; fewer make small batches
COMMENTS = {"target": "for evaluation alone: training sees no label"}


class Request(Protocol):
    """The options of `tiltyard init` that a clustering depends on."""

    @property
    def problem(self) -> str | None:
        """The problem that is asked for."""

    @property
    def data(self) -> str:
        """The file."""

    @property
    def target(self) -> str:
        """The column of labels that evaluate clusters; may be empty."""

    @property
    def more_targets(self) -> tuple[str, ...]:
        """Further targets."""

    @property
    def time(self) -> str | None:
        """The column of times."""

    @property
    def group(self) -> str | None:
        """The column of groups."""

    @property
    def separator(self) -> str | None:
        """What stands between labels."""


def require_fit(request: Request) -> None:
    """Refuse options that a clustering has no use for."""
    if request.problem == "clustering" and (request.time or request.more_targets or request.separator):
        raise TaskError("for clusters: expected at most one --target, no --time and no --separator; received one")


def evaluated_rows(table: DraftTable, target: str) -> pd.DataFrame:
    """Return the rows that clusters are evaluated by: those with a label, if there are labels."""
    frame = table.frame
    if not target:
        return frame
    frame[target] = targets.cells(table, table.profiles[target], "classification")
    return frame[frame[target].notna()]


def features(traits: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Return the profiles; those whose mean cannot be shown are left out."""
    return [
        profile if yaml_text.build_column(profile).restores else profile.left_out(f"a {profile.kind} has no mean")
        for profile in traits
    ]


def table_content(
    table: DraftTable, rows: pd.DataFrame, traits: Sequence[ColumnProfile], request: Request
) -> dict[str, Any]:
    """Return the sections of a clustering of a table in order; `traits` are its features."""
    target, standard = request.target, _standardised([each for each in traits if each.kind == "number"], rows)
    count, scores = choose_clusters(standard)
    if scores and not target:
        said = ", ".join(f"{clusters}: {score:.2f}" for clusters, score in scores.items())
        table.notes.append(f"clusters: {count}, which has the largest silhouette of the numbers ({said})")
    labels = sorted(map(str, rows[target].unique())) if target else []
    source = {"kind": "file", "path": request.data, **({"read": table.read} if table.read else {})}
    return {
        **_head(request.data, source, len(rows)),
        **({"joins": table.joins} if table.joins else {}),
        "columns": {profile.name: profile.column for profile in traits},
        **evaluated_by(target, labels),
        "split": {"kind": "random", **({"group": request.group} if request.group else {})},
        "model": {"family": "kmeans", "clusters": len(labels) or count},
        "train": {"epochs": 1},
        "gate": {"metric": "ari" if labels else "inertia"},  # which k-means minimises
        "serve": {"example": {profile.name: example_value(profile, rows[profile.name]) for profile in traits}},
    }


def image_content(profile: ImageProfile, data: str) -> dict[str, Any]:
    """Return the sections of a clustering of images in order; their classes only evaluate it."""
    sections, labels = images.sections(profile), sorted(set(profile.labels))
    known = evaluated_by(profile.target, labels if 2 <= len(labels) <= MAX_LABELS else [])
    count, rows = len(labels) if known else MOST_CLUSTERS, len(profile.labels)
    batch = max(1, min(64 if rows >= FEW_ROWS else 16, rows // 8))
    return {
        **_head(data, profile.source, rows),
        "columns": sections["columns"],
        **known,
        "expect": sections["expect"],
        "split": {"kind": "random"},
        "model": {"family": "deep_clustering", "clusters": count, "kind": "conv", "filters": [16, 32], "code": 10},
        "train": {"epochs": 50, "batch_size": batch, "patience": 10},
        "gate": {"metric": "ari" if known else "silhouette"},
        "serve": sections["serve"],
    }


def _head(data: str, source: dict[str, Any], count: int) -> dict[str, Any]:
    rows = [max(1, count // 2), count * 10]
    return {"title": f"Clusters of {Path(data).name}", "problem": "clustering", "source": source, "rows": rows}


def evaluated_by(target: str, labels: Sequence[str]) -> dict[str, Any]:
    """Return the target section of labels that evaluate clusters; none without labels."""
    return {"target": {"column": target, "classes": [*labels]}} if target and labels else {}


def _standardised(numbers: Sequence[ColumnProfile], rows: pd.DataFrame) -> Array:
    """Return the number columns of some rows, standardised, with 0 for missing values."""
    some = rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=0)
    columns = [_values(yaml_text.build_column(profile), some[profile.name]) for profile in numbers]
    values = np.stack(columns, axis=1) if columns else np.empty((len(some), 0))
    deviation = np.nanstd(values, axis=0)
    centred = (values - np.nanmean(values, axis=0)) / np.where(deviation > 0, deviation, 1)
    return np.asarray(np.nan_to_num(centred), dtype=np.float32)


def _values(column: Column, cells: pd.Series[Any]) -> Array:
    read = column.read(cells.tolist())
    return np.array([np.nan if value is None else float(str(value)) for value in read])


def choose_clusters(rows: Array) -> tuple[int, dict[int, float]]:
    """Return the number of clusters with the largest silhouette by means, and the silhouette of each number."""
    distinct = len(np.unique(rows, axis=0)) if rows.shape[1] else 0
    scores = {
        clusters: _silhouette(rows, KMeans.fit(rows, clusters, 0, 3).centres)
        for clusters in range(2, min(MOST_CLUSTERS, distinct - 1) + 1)
    }
    return (max(scores, key=scores.__getitem__) if scores else USUAL_CLUSTERS), scores


def _silhouette(rows: Array, centres: Array) -> float:
    nearest = np.sort(np.sqrt(squared_distances(rows, centres)), axis=1)[:, :2]
    return float(np.mean(1 - nearest[:, 0] / np.maximum(nearest[:, 1], np.finfo(np.float32).tiny)))
