"""The command monitor: compacts records, and reports traffic, drift and quality by ground truth."""

from __future__ import annotations

from typing import Any

from tiltyard.config.task import Task
from tiltyard.monitoring.drift import MAX_ROWS, measure_drift
from tiltyard.monitoring.estimated_quality import with_error
from tiltyard.monitoring.live_quality import LiveQuality, beside_evaluation, load_live_quality
from tiltyard.monitoring.records import compact
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def monitor(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Compact the records of a task, and return traffic, drift and quality."""
    compacted, champion = compact(workspace, task), Registry(workspace).champion(task.name)
    quality = load_live_quality(workspace, task)
    versions = quality.predictions["version"].unique()
    return {
        "task": task.name,
        "champion": champion.version if champion else None,
        "records": str((workspace.records / task.name).relative_to(workspace.root)),
        "gathered": compacted,
        "recorded": quality.arms(),
        "feedback": quality.feedback,
        **measure_drift(workspace, task, champion.version if champion else ""),
        "estimated": _estimated(workspace, quality, champion.version) if champion else None,
        "quality": [beside_evaluation(workspace, quality, version) for version in versions],
    }


def _estimated(workspace: Workspace, quality: LiveQuality, version: str) -> dict[str, Any]:
    """Return the estimated quality of the latest predictions that `tiltyard watch` would look at, too."""
    operate = quality.task.operate
    return with_error(workspace, quality, version, operate.window if operate else MAX_ROWS)
