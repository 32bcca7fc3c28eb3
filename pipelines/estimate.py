"""Estimate of the time left in a run, from the durations of steps in earlier runs and the progress of this one."""

from __future__ import annotations

import contextlib
import statistics
from typing import Any

from tiltyard import files
from tiltyard.pipelines.task_progress import TaskProgress
from tiltyard.workspace import Workspace

SKIPPED_STATES = ("skipped", "same", "unchanged")  # states of steps that had nothing to do


class Estimate:
    """Durations of steps by task, separately for steps that were skipped; kept between runs."""

    def __init__(self, workspace: Workspace, steps: tuple[str, ...], workers: int) -> None:
        self.path, self.steps, self.workers = workspace.durations, steps, workers
        self.durations: dict[str, dict[str, float]] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self.durations = {task: dict(_numbers(seconds)) for task, seconds in files.read_json(self.path).items()}

    def record(self, task: str, step: str, state: str, seconds: float) -> None:
        """Record how long a step took."""
        self.durations.setdefault(task, {})[_key(step, skipped=state in SKIPPED_STATES)] = round(seconds, 2)

    def save(self) -> None:
        """Save the durations; ignore a folder that cannot be written to, since the run itself reports that."""
        with contextlib.suppress(OSError):
            files.write_json(self.path, self.durations)

    def last_seconds(self, task: str) -> float:
        """Return how long all steps of a task took when they had something to do; 0 if a step never had."""
        durations = self.durations.get(task, {})
        return sum(durations[step] for step in self.steps) if {*self.steps} <= durations.keys() else 0.0

    def seconds_left(self, tasks: list[TaskProgress], now: float) -> float | None:
        """Return the seconds until all tasks are done, or None while that cannot be estimated."""
        begun = [task for task in tasks if task.steps]
        skipping = bool(begun) and all(self._skips(task) for task in begun)
        per_task = [self.task_seconds_left(task, now, skipping=skipping) for task in tasks]
        if not begun or None in per_task:
            return None
        seconds = [left for left in per_task if left is not None]
        return max(*seconds, sum(seconds) / self.workers)

    def task_seconds_left(self, task: TaskProgress, now: float, *, skipping: bool = False) -> float | None:
        """Return the seconds until one task is done, or None; `skipping` expects skipped steps of a waiting task."""
        if task.ended is not None:
            return 0.0
        skips = self._skips(task) if task.steps else skipping
        remaining = 0.0
        for step in self.steps[len(task.steps) :]:
            seconds = self._of_step(task.name, step, skipped=skips)
            if step == task.step:
                by_epochs = task.training_left(now)
                seconds = by_epochs if by_epochs is not None else _remaining(seconds, now - task.step_began)
            if seconds is None:
                return None
            remaining += seconds
        return remaining

    def _of_step(self, task: str, step: str, *, skipped: bool) -> float | None:
        """Return how long a step took for this task the last time, or on average for other tasks."""
        key = _key(step, skipped=skipped)
        if (seconds := self.durations.get(task, {}).get(key)) is not None:
            return seconds
        seconds_of_tasks = [durations[key] for durations in self.durations.values() if key in durations]
        return statistics.mean(seconds_of_tasks) if seconds_of_tasks else None

    @staticmethod
    def _skips(task: TaskProgress) -> bool:
        return all(state in SKIPPED_STATES for state in task.steps.values())


def _key(step: str, *, skipped: bool) -> str:
    return f"{step} skipped" if skipped else step


def _remaining(seconds: float | None, elapsed: float) -> float | None:
    return None if seconds is None else max(seconds - elapsed, 0.0)


def _numbers(seconds: dict[str, Any]) -> list[tuple[str, float]]:
    return [(key, float(value)) for key, value in seconds.items() if isinstance(value, int | float)]
