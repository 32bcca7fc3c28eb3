"""The verb monitor: what the service answered, how good it was by the truths that came, and how its inputs drift."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.gather import gather
from tiltyard.live import Live, live
from tiltyard.registry import Registry
from tiltyard.task import Task
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


def monitor(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Gather what was recorded, and say what it shows."""
    gathered, champion = gather(workspace, task), Registry(workspace).champion(task.name)
    found = live(workspace, task)
    return {
        "task": task.name,
        "champion": champion.version if champion else None,
        "records": str((workspace.records / task.name).relative_to(workspace.root)),
        "gathered": gathered,
        "recorded": told(found),
        "feedback": found.feedback,
        "quality": [_quality(workspace, found, version) for version in found.answers["version"].unique()],
    }


def told(found: Live) -> list[dict[str, Any]]:
    """Give a row a version and arm: how much it answered, from when to when, and how fast."""
    return [_arm(rows) for _, rows in found.answers.groupby(["version", "arm"], sort=True)]


def _arm(rows: pd.DataFrame) -> dict[str, Any]:
    requests = rows.drop_duplicates(["id", "time"])
    return {
        "version": rows["version"].iloc[0],
        "arm": rows["arm"].iloc[0],
        "requests": len(requests),
        "instances": len(rows),
        "p50_ms": float(requests["ms"].quantile(0.5)),
        "p99_ms": float(requests["ms"].quantile(0.99)),
        "first": rows["time"].min().isoformat(timespec="seconds"),
        "last": rows["time"].max().isoformat(timespec="seconds"),
    }


def _quality(workspace: Workspace, found: Live, version: str) -> dict[str, Any]:
    """Put the live figure beside that of the evaluation."""
    schema, metric = workspace.package(found.task.name, version) / "schema.json", found.task.gate.metric
    evaluated = files.read_json(schema)["metrics"].get(metric) if schema.is_file() else None
    measured = None if found.task.kind.targets == "text" else found.quality(version)
    known = {"truths": len(found.known(version)), "value": None, "low": None, "high": None}
    return {"version": version, "metric": metric, **(measured or known), "evaluated": evaluated}
