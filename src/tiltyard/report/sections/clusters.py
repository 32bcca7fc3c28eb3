"""Clusters: how many rows each has, its mean row, and a map of the test rows by principal components."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiltyard.config.task import Task
from tiltyard.figures import Figure, bars, png, points
from tiltyard.files import Json
from tiltyard.report.html_elements import Section, format_number, render_figures, render_table

MAX_SHOWN = 50  # clusters
MAX_COLUMNS = 12  # of a mean row


def clusters_section(task: Task, report: Json) -> Section:
    """Return the section; empty for other problems."""
    if not task.problem_type.clusters:
        return Section("Clusters", "")
    known, measured = report["clusters"][:MAX_SHOWN], report["per_cluster"]
    records = [
        {**record, "training rows": cluster["rows"], **_mean(cluster["mean"])}
        for cluster, record in zip(known, measured, strict=False)
    ]
    pairs = report["silhouette_by_pairs"]
    values = {
        name: "not defined, since all rows are in one cluster" if pairs[name] is None else format_number(pairs[name])
        for name in ("model", "baseline")
    }
    text = (
        f"Silhouette by pairs of {pairs['rows']:,} test rows: {values['model']}; of the baseline: {values['baseline']}."
    )
    return Section(
        "Clusters",
        render_table(records) + f'<p class="soft">{text}</p>' + render_figures(_figures(known, report["map"])),
    )


def _mean(row: Any) -> Json:
    """Return the mean row: a picture, or its first columns."""
    if isinstance(row, list):
        return {"mean": png(np.array(row))}
    return dict([*row.items()][:MAX_COLUMNS])


def _figures(known: list[Json], places: Json) -> list[Figure]:
    x, y, cluster = (np.array(places[name]) for name in ("x", "y", "cluster"))
    groups = {
        f"cluster {number}": (x[cluster == number], y[cluster == number]) for number in np.unique(cluster).tolist()
    }
    sizes = {f"cluster {number}": float(each["rows"]) for number, each in enumerate(known)}
    return [
        bars("Sizes", "Training rows in each cluster.", "Rows", sizes),
        points(
            "Map",
            "Each point is a test row, placed by the two principal components of the standardised features.",
            ("First component", "Second component"),
            groups,
        ),
    ]
