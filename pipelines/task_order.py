"""Order of the tasks of a run: those that probably take longest start first, so that no core is idle at the end."""

from __future__ import annotations

from typing import Any

from tiltyard.config import base_tasks, loader
from tiltyard.config.task import Task
from tiltyard.pipelines.estimate import Estimate
from tiltyard.workspace import Workspace

MAX_COUNTED = 10_000  # numbers of an example: more do not change the order


def longest_first(workspace: Workspace, names: list[str], estimate: Estimate) -> list[str]:
    """Sort tasks by their time and that of tasks that wait for them; base tasks stay before those.

    The time is that of their last run if it is known of all of them, or else estimated from their files.
    """
    tasks = {name: loader.load(workspace, name) for name in names if not base_tasks.find_error(workspace, name)}
    measured = {name: estimate.last_seconds(name) for name in tasks}
    durations = measured if all(measured.values()) else {name: _work(task) for name, task in tasks.items()}
    total = dict.fromkeys(names, 0.0)
    for name in reversed(names):  # a base task is before the tasks that wait for it
        if name in tasks:
            total[name] += durations[name]
            base = tasks[name].model.base_task
            if base in total:
                total[base] = max(total[base], total[name])
    return sorted(names, key=lambda name: -total[name])  # stable: an equal one stays where it was


def _work(task: Task) -> float:
    """Return how many numbers training reads: epochs times rows times the numbers of an example."""
    return float(task.train.epochs * task.rows[0] * _count(task.serve.example))


def _count(value: Any) -> int:
    """Return how many numbers or characters a JSON value has, at least one and at most MAX_COUNTED."""
    if isinstance(value, dict):
        value = list(value.values())
    size = sum(map(_count, value)) if isinstance(value, list) else len(value) if isinstance(value, str) else 1
    return min(max(size, 1), MAX_COUNTED)
