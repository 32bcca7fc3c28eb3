"""Previous data: the rows of the last training, and the last number of rows, to compare the present data with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, take_rows
from tiltyard.modeling.columns.base import PLAIN
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.array_file import open_part, sample_blocks
from tiltyard.validation.findings._dataset import CheckedData, Comparison, PreviousData
from tiltyard.workspace import Workspace

NAMES = ("the rows last trained on", "today's training rows")


def previous_data(workspace: Workspace, subject: CheckedData, data: str) -> PreviousData:
    """Return what is recorded about the previous data; `data` is the hash of the present data."""
    previous = [row for row in _recorded(workspace, subject.task.name) if row["data"] != data]
    prepared = _prepared(workspace, subject.task.name)
    if not prepared or prepared["data"] == data:
        return PreviousData(previous[-1]["rows"] if previous else None)
    rows = previous[-1]["rows"] if previous else sum(prepared["rows"].values())
    return PreviousData(rows, tuple(_comparisons(workspace, subject)))


def record(workspace: Workspace, task: str, data: str, rows: int) -> None:
    """Record the number of rows of a version of the data, the latest last."""
    before = _recorded(workspace, task)
    after = [*(row for row in before if row["data"] != data), {"data": data, "rows": rows}]
    if after != before:
        files.write_json(_file(workspace, task), after)


def _file(workspace: Workspace, task: str) -> Path:
    return workspace.state(task, "check") / "rows.json"


def _recorded(workspace: Workspace, task: str) -> list[dict[str, Any]]:
    path = _file(workspace, task)
    return list(files.read_json(path)) if path.is_file() else []


def _prepared(workspace: Workspace, task: str) -> dict[str, Any] | None:
    path = workspace.out(task, "prepare") / "split.json"
    return dict(files.read_json(path)) if path.is_file() else None


def _comparisons(workspace: Workspace, subject: CheckedData) -> list[Comparison]:
    """Encode the present training rows as those of the last training, and compare both by column."""
    folder = workspace.out(subject.task.name, "prepare")
    truths = [one.truth for one in subject.by_target if one.truth is not None]
    targets_compared = [] if subject.task.problem == "anomaly" else subject.task.target.names  # all rows are normal
    if not subject.parts or len(truths) != len(targets_compared):
        return []
    if not (subject.task.is_tabular or subject.task.modality == "text"):
        return []
    train = subject.parts["train"]
    encoder = Encoder.load(folder / "encoder.json")
    names = encoder.target.get("names", [])
    same_target = encoder.classes == subject.task.classes and names == [*(subject.task.target.columns or ())]
    if encoder.columns != subject.task.columns or not same_target:
        return []  # prepared with other columns, classes or targets
    features, targets = open_part(folder / "train.npz")
    parts = sample_blocks(len(targets))
    old, targets = (np.concatenate([rows[part] for part in parts]) for rows in (features, targets))
    if encoder.columns.keys() != subject.columns.keys():
        return []  # it has images, which are not parsed here
    new = encoder.encode(take_rows(subject.parsed, train))
    labels = encoder.classes or subject.task.target.labels
    known = np.array(labels)[targets.astype(np.int64)] if labels else targets.astype(np.float64)
    before = known.reshape(len(known), -1).T[: len(truths)]  # none if there is no target
    compared = [
        Comparison(name, values, truth[train], NAMES)
        for name, values, truth in zip(targets_compared, before, truths, strict=True)
    ]
    return [*(_compare_columns(encoder, old, new) if subject.task.is_tabular else []), *compared]


def _compare_columns(encoder: Encoder, old: Array, new: Array) -> list[Comparison]:
    comparisons, spans = [], encoder.spans
    for name, column in encoder.columns.items():
        if column.branch != "table":
            continue
        part = spans[name]
        flags = all(scale == PLAIN for scale in column.scaling(encoder.fitted[name]))
        comparisons.append(
            Comparison(name, _comparable(old[:, part], flags=flags), _comparable(new[:, part], flags=flags), NAMES)
        )
    return comparisons


def _comparable(features: Array, *, flags: bool) -> Array:
    """Return one value for each row: the index of the one-hot feature, or the first feature."""
    if not flags:
        return features[:, 0].astype(np.float64)
    index = np.where(features.any(axis=1), features.argmax(axis=1), -1)
    return np.asarray(index.astype(np.str_))
