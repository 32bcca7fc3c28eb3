"""Drift of recorded inputs from the rows that the champion was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import RequestError
from tiltyard.modeling.inference.drift_reference import Spread, distance, from_instances
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.drift_distance import Distance
from tiltyard.monitoring.records import latest
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording.drift_gauges import MIN_ROWS
from tiltyard.workspace import Workspace

MAX_ROWS = 10_000  # the latest recorded rows


def measure_drift(
    workspace: Workspace, task: Task, version: str, limit: int = MAX_ROWS, since: datetime | None = None
) -> dict[str, Any]:
    """Return the drift of the latest inputs from the champion's training rows, largest first, or why there is none."""
    rows = latest(workspace, task, limit, since)
    if not version:
        return {"drift": [], "undrifted": "there is no champion"}
    if reason := drift_unavailable(task, rows):
        return {"drift": [], "undrifted": reason}
    model = LoadedModel.load(Registry(workspace).package(task.name, version))
    if not model.reference:
        return {"drift": [], "undrifted": f"the package of {version} is of an earlier release and has no reference"}
    comparison = compare_rows(task, model.predictor.encoder, model.reference, rows)
    return {"drift": comparison.columns, "undrifted": comparison.reason, "refused": comparison.refused}


def drift_unavailable(task: Task, rows: list[Any]) -> str:
    """Return why the drift of recorded rows cannot be measured; an empty text if it can."""
    if any(column.type == "image" for column in task.columns.values()):
        return "images are not recorded"
    return "" if len(rows) >= MIN_ROWS else f"expected {MIN_ROWS} recorded instances; received {len(rows)}"


@dataclass(frozen=True)
class DriftComparison:
    """The drift of recorded rows by column, and the number of rows that the model refuses."""

    columns: list[dict[str, Any]]
    rows: int
    refused: int
    first: str  # the first error message

    @property
    def reason(self) -> str:
        """Why nothing was measured; an empty text if something was."""
        return "" if self.columns else f"the model refuses all of {self.rows} recorded instances: {self.first}"


def compare_rows(task: Task, encoder: Encoder, spreads: dict[str, Spread], rows: list[Any]) -> DriftComparison:
    """Return the distance of rows from the training rows by column, the largest first."""
    parts: list[dict[str, Array]] = []
    refusals: list[str] = []
    for start in range(0, len(rows), encoder.max_instances):
        accepted, refused_part = _drift_values(encoder, rows[start : start + encoder.max_instances])
        parts, refusals = [*parts, *accepted], [*refusals, *refused_part]
    values_by_column = {name: np.concatenate([part[name] for part in parts]) for name in spreads} if parts else {}
    columns = [
        _column(task, name, distance(spreads[name], values), len(spreads)) for name, values in values_by_column.items()
    ]
    accepted_rows = len(rows) - len(refusals)
    ranked = sorted(({**row, "rows": accepted_rows} for row in columns), key=lambda row: -row["psi"])
    return DriftComparison(ranked, len(rows), len(refusals), refusals[0] if refusals else "")


def _drift_values(encoder: Encoder, rows: list[Any]) -> tuple[list[dict[str, Array]], list[str]]:
    """Return the values for drift of the rows that the model accepts, and the error messages of the others."""
    try:
        return [from_instances(encoder, rows)], []
    except RequestError:
        accepted, refusals = list[Any](), list[str]()
    for row in rows:
        try:
            encoder.parse([row])
            accepted.append(row)
        except RequestError as error:
            refusals.append(f"{error.field.partition('.')[2] or error.field}: {error.message}")
    return ([from_instances(encoder, accepted)] if accepted else []), refusals


def _column(task: Task, name: str, distance: Distance, columns: int) -> dict[str, Any]:
    """Return the drift of a column, judged as in `tiltyard check`: above the limit, and significant (Bonferroni)."""
    drifted = distance.value > task.check.psi and distance.chance * columns < 1 - task.check.confidence
    return {
        "feature": name,
        "psi": distance.value,
        "limit": task.check.psi,
        "chance": distance.chance,
        "drifted": drifted,
    }
