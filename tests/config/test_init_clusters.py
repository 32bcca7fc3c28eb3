"""`tiltyard init --problem clustering`: tables with and without labels, images, and options that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import make_blobs

from tiltyard.config import loader
from tiltyard.config.draft.clusters import choose_clusters
from tiltyard.config.draft.draft import Drafted, draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace


def _table(folder: Path, groups: int = 4) -> Path:
    """Write a table with two numbers in so many far groups, names, flags, days, a constant id, and the group."""
    rows, group = make_blobs(200, 2, centers=groups, cluster_std=0.3, random_state=2)
    frame = pd.DataFrame({"x": rows[:, 0].round(3), "y": rows[:, 1].round(3)})
    frame["colour"] = np.where(group % 2, "red", "blue")
    frame["large"] = group > 1
    frame["day"] = pd.date_range("2020-01-01", periods=200).strftime("%Y-%m-%d")
    frame["group"] = [f"g{number}" for number in group]
    frame.to_csv(folder / "rows.csv", index=False)
    return folder / "rows.csv"


def _drafted(workspace: Workspace, path: Path, **options: Any) -> tuple[Drafted, Task]:
    drafted = draft_task(workspace, "groups", DraftRequest(str(path), problem="clustering", **options))
    return drafted, loader.load(workspace, "groups")


def test_a_table_without_labels(workspace: Workspace, tmp_path: Path) -> None:
    """The number of clusters is that with the largest silhouette; dates, which have no mean, are left out."""
    drafted, task = _drafted(workspace, _table(tmp_path), drop=("group",))
    assert task.model.cluster_count == 4
    assert {*task.columns} == {"x", "y", "colour", "large"}
    assert (task.target.column, task.gate.metric, task.model.family) == ("", "inertia", "kmeans")
    assert any(note.startswith("clusters: 4, which has the largest silhouette") for note in drafted.notes)
    assert {profile.name for profile in drafted.traits if profile.reason} == {"day", "group"}


def test_labels_evaluate_only(workspace: Workspace, tmp_path: Path) -> None:
    """A target has its labels in the file, and decides by the adjusted Rand index; it is no column."""
    _, task = _drafted(workspace, _table(tmp_path, 3), target="group")
    assert "group" not in task.columns
    assert task.target.classes == ["g0", "g1", "g2"]
    assert (task.model.cluster_count, task.gate.metric) == (3, "ari")
    assert "training sees no label" in workspace.task_file("groups").read_text(encoding="utf-8")


def test_images_are_clustered_by_codes(workspace: Workspace, tmp_path: Path) -> None:
    """Folders of classes are labels that evaluate; the family is that of an autoencoder."""
    generator = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 255, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")
    _, task = _drafted(workspace, tmp_path / "pets")
    assert (task.model.family, task.model.cluster_count, task.gate.metric) == ("deep_clustering", 2, "ari")
    assert task.target.classes == ["cat", "dog"]


def test_options_that_do_not_fit_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    """There is one target at most, and no order of time."""
    for options in ({"time": "day"}, {"target": "x", "more_targets": ("y",)}, {"target": "group", "separator": "|"}):
        with pytest.raises(TaskError, match="expected"):
            _drafted(workspace, _table(tmp_path), **options)


def test_without_numbers_there_are_three_clusters() -> None:
    """Nothing is chosen of rows that are all alike, or that have no numbers."""
    assert choose_clusters(np.zeros((10, 2), np.float32)) == (3, {})
    assert choose_clusters(np.zeros((10, 0), np.float32)) == (3, {})
