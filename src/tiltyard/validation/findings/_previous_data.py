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
    expected = bool(subject.task.target.column)
    if not subject.parts or (subject.truth is None and expected) or subject.task.modality not in ("table", "text"):
        return []
    train = subject.parts["train"]
    encoder = Encoder.load(folder / "encoder.json")
    if encoder.columns != subject.task.columns or encoder.classes != subject.task.classes:
        return []  # prepared with other columns or classes
    features, targets = open_part(folder / "train.npz")
    parts = sample_blocks(len(targets))
    old, targets = (np.concatenate([rows[part] for part in parts]) for rows in (features, targets))
    new = encoder.encode(take_rows(subject.parsed, train))
    columns = _compare_columns(encoder, old, new) if subject.task.modality == "table" else []
    if subject.truth is None:
        return columns
    truth = np.array(encoder.classes)[targets] if encoder.classes else targets.astype(np.float64)
    target = Comparison(subject.task.target.column, truth, subject.truth[train], NAMES)
    return [*columns, target]


def _compare_columns(encoder: Encoder, old: Array, new: Array) -> list[Comparison]:
    comparisons, start = [], 0
    for name, column in encoder.columns.items():
        scales = column.scaling(encoder.fitted[name])
        part = slice(start, start + len(scales))
        flags = all(scale == PLAIN for scale in scales)
        comparisons.append(
            Comparison(name, _comparable(old[:, part], flags=flags), _comparable(new[:, part], flags=flags), NAMES)
        )
        start = part.stop
    return comparisons


def _comparable(features: Array, *, flags: bool) -> Array:
    """Return one value for each row: the index of the one-hot feature, or the first feature."""
    if not flags:
        return features[:, 0].astype(np.float64)
    index = np.where(features.any(axis=1), features.argmax(axis=1), -1)
    return np.asarray(index.astype(np.str_))
