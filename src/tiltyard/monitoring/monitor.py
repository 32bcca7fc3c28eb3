"""The verb monitor: what the service answered, how good it was by the truths that came, and how its inputs drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import RequestError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.reference import Spread, distance, from_instances
from tiltyard.modeling.metrics.distance import Distance
from tiltyard.monitoring.live_quality import LiveQuality, load_live_quality
from tiltyard.monitoring.records import compact, latest
from tiltyard.registry.registry import Registry
from tiltyard.serving.http.drift_gauges import MIN_ROWS
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

MAX_ROWS = 10_000  # the latest of what was recorded: drift is about now


def monitor(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Gather what was recorded, and say what it shows."""
    gathered, champion = compact(workspace, task), Registry(workspace).champion(task.name)
    found = load_live_quality(workspace, task)
    return {
        "task": task.name,
        "champion": champion.version if champion else None,
        "records": str((workspace.records / task.name).relative_to(workspace.root)),
        "gathered": gathered,
        "recorded": found.arms(),
        "feedback": found.feedback,
        **_drift(workspace, task, champion.version if champion else ""),
        "quality": [_quality(workspace, found, version) for version in found.answers["version"].unique()],
    }


def _drift(workspace: Workspace, task: Task, version: str) -> dict[str, Any]:
    """Compare the latest inputs with the training rows of the champion, the worst first; or say why not."""
    rows = latest(workspace, task, MAX_ROWS)
    if not version:
        return {"drift": [], "undrifted": "there is no champion"}
    if why := drift_unavailable(task, rows):
        return {"drift": [], "undrifted": why}
    model = LoadedModel.load(Registry(workspace).package(task.name, version))
    if not model.reference:
        return {"drift": [], "undrifted": f"the package of {version} is of an earlier release and has no reference"}
    found = compare_rows(task, model.predictor.encoder, model.reference, rows)
    return {"drift": found.columns, "undrifted": found.reason, "refused": found.refused}


def drift_unavailable(task: Task, rows: list[Any]) -> str:
    """Return why recorded rows say nothing about drift; nothing if they do."""
    if task.form == "image":
        return "pictures are not recorded"
    return "" if len(rows) >= MIN_ROWS else f"expected {MIN_ROWS} recorded instances; received {len(rows)}"


@dataclass(frozen=True)
class DriftComparison:
    """What recorded rows showed, column by column, and how many of them the model would refuse."""

    columns: list[dict[str, Any]]
    rows: int
    refused: int
    first: str  # refusal, in the model's own words

    @property
    def reason(self) -> str:
        """Why nothing was measured."""
        return "" if self.columns else f"the model refuses all of {self.rows} recorded instances: {self.first}"


def compare_rows(task: Task, encoder: Encoder, spreads: dict[str, Spread], rows: list[Any]) -> DriftComparison:
    """Return the distance of rows from the training rows for each column, the largest first."""
    parts: list[dict[str, Array]] = []
    refusals: list[str] = []
    for start in range(0, len(rows), encoder.max_instances):
        taken, refused = _drift_values(encoder, rows[start : start + encoder.max_instances])
        parts, refusals = [*parts, *taken], [*refusals, *refused]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in spreads} if parts else {}
    found = [_column(task, name, distance(spreads[name], values), len(spreads)) for name, values in whole.items()]
    taken_rows = len(rows) - len(refusals)
    ranked = sorted(({**row, "rows": taken_rows} for row in found), key=lambda row: -row["psi"])
    return DriftComparison(ranked, len(rows), len(refusals), refusals[0] if refusals else "")


def _drift_values(encoder: Encoder, rows: list[Any]) -> tuple[list[dict[str, Array]], list[str]]:
    """Look at the rows that the model takes, all at once if it takes all; return why it refuses the others."""
    try:
        return [from_instances(encoder, rows)], []
    except RequestError:
        taken, refusals = list[Any](), list[str]()
    for row in rows:
        try:
            encoder.parse([row])
            taken.append(row)
        except RequestError as error:
            refusals.append(f"{error.field.partition('.')[2] or error.field}: {error.message}")
    return ([from_instances(encoder, taken)] if taken else []), refusals


def _column(task: Task, name: str, one: Distance, of: int) -> dict[str, Any]:
    """Judge as `tiltyard check` does: too far apart, and not by chance, however many columns are looked at."""
    drifted = one.value > task.check.psi and one.chance * of < 1 - task.check.confidence
    return {"feature": name, "psi": one.value, "limit": task.check.psi, "chance": one.chance, "drifted": drifted}


def _quality(workspace: Workspace, found: LiveQuality, version: str) -> dict[str, Any]:
    """Put the live figure beside that of the evaluation."""
    schema, metric = workspace.package(found.task.name, version) / "schema.json", found.task.gate.metric
    evaluated = files.read_json(schema)["metrics"].get(metric) if schema.is_file() else None
    measured = None if found.task.kind.targets == "text" else found.quality(version)
    known = {"truths": len(found.with_truth(version)), "value": None, "low": None, "high": None}
    return {"version": version, "metric": metric, **(measured or known), "evaluated": evaluated}
