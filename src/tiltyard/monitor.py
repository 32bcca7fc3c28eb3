"""The verb monitor: what the service answered, how good it was by the truths that came, and how its inputs drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.drift import FEWEST, looked_at
from tiltyard.gather import gather, latest
from tiltyard.live import Live, live
from tiltyard.reference import distance
from tiltyard.registry import Registry
from tiltyard.served import Served
from tiltyard.task import Task
from tiltyard.workspace import Workspace

ROWS = 10_000  # the latest of what was recorded: drift is about now


def monitor(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Gather what was recorded, and say what it shows."""
    gathered, champion = gather(workspace, task), Registry(workspace).champion(task.name)
    found = live(workspace, task)
    return {
        "task": task.name,
        "champion": champion.version if champion else None,
        "records": str((workspace.records / task.name).relative_to(workspace.root)),
        "gathered": gathered,
        "recorded": found.arms(),
        "feedback": found.feedback,
        "drift": _drift(workspace, task, champion.version) if champion else [],
        "quality": [_quality(workspace, found, version) for version in found.answers["version"].unique()],
    }


def _drift(workspace: Workspace, task: Task, version: str) -> list[dict[str, Any]]:
    """Hold the latest inputs against the training rows of the champion, the worst first."""
    model, rows = Served.load(Registry(workspace).package(task.name, version)), latest(workspace, task, ROWS)
    if len(rows) < FEWEST or not model.reference:
        return []
    size = model.predictor.encoder.max_instances
    parts = [looked_at(model, rows[start : start + size]) for start in range(0, len(rows), size)]
    measured = {
        name: distance(spread, np.concatenate([part[name] for part in parts]))
        for name, spread in model.reference.items()
    }
    sure = (1 - task.check.confidence) / len(measured)
    found = [
        {
            "feature": name,
            "psi": one.value,
            "limit": task.check.psi,
            "chance": one.chance,
            "drifted": one.value > task.check.psi and one.chance < sure,
            "rows": len(rows),
        }
        for name, one in measured.items()
    ]
    return sorted(found, key=lambda row: -float(row["psi"]))


def _quality(workspace: Workspace, found: Live, version: str) -> dict[str, Any]:
    """Put the live figure beside that of the evaluation."""
    schema, metric = workspace.package(found.task.name, version) / "schema.json", found.task.gate.metric
    evaluated = files.read_json(schema)["metrics"].get(metric) if schema.is_file() else None
    measured = None if found.task.kind.targets == "text" else found.quality(version)
    known = {"truths": len(found.known(version)), "value": None, "low": None, "high": None}
    return {"version": version, "metric": metric, **(measured or known), "evaluated": evaluated}
