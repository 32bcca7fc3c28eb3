"""The command monitor: compacts records, and reports traffic, drift and quality by ground truth."""

from __future__ import annotations

from typing import Any

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.monitoring.drift import measure_drift
from tiltyard.monitoring.live_quality import LiveQuality, load_live_quality
from tiltyard.monitoring.records import compact
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def monitor(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Compact the records of a task, and return traffic, drift and quality."""
    compacted, champion = compact(workspace, task), Registry(workspace).champion(task.name)
    quality = load_live_quality(workspace, task)
    return {
        "task": task.name,
        "champion": champion.version if champion else None,
        "records": str((workspace.records / task.name).relative_to(workspace.root)),
        "gathered": compacted,
        "recorded": quality.arms(),
        "feedback": quality.feedback,
        **measure_drift(workspace, task, champion.version if champion else ""),
        "quality": [_quality(workspace, quality, version) for version in quality.predictions["version"].unique()],
    }


def _quality(workspace: Workspace, quality: LiveQuality, version: str) -> dict[str, Any]:
    """Return the live metric of a version with that of its evaluation."""
    schema, metric = workspace.package(quality.task.name, version) / "schema.json", quality.task.gate.metric
    evaluated = files.read_json(schema)["metrics"].get(metric) if schema.is_file() else None
    measured = None if quality.task.problem_type.targets == "text" else quality.quality(version)
    without_metric = {"truths": len(quality.with_truth(version)), "value": None, "low": None, "high": None}
    return {"version": version, "metric": metric, **(measured or without_metric), "evaluated": evaluated}
