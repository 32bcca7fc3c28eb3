"""Restarts: train again from other initial weights, until a training reaches the value of `stop_at`."""

from __future__ import annotations

from tiltyard.config.task import Task
from tiltyard.config.train_section import StopAt
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.fit import FitResult, RunPaths, fit


def fit_with_restarts(task: Task, rows: TrainingRows, paths: RunPaths) -> FitResult:
    """Return the best of the trainings by the monitored value on validation rows; its record lists them all."""
    if not task.train.restarts or not task.train.stop_at:
        return fit(task, rows, paths)
    attempts: list[FitResult] = []
    while len(attempts) <= task.train.restarts and not (attempts and _reached(task.train.stop_at, attempts[-1])):
        settings = task.train.model_copy(update={"seed": task.train.seed + len(attempts)})
        name = f"attempt-{len(attempts) + 1}"
        attempts.append(fit(task.model_copy(update={"train": settings}), rows, paths.inside(name)))
    better = max if task.train.monitor == "val_accuracy" else min
    best = better(attempts, key=lambda attempt: _kept(attempt, task.train.monitor))
    names = ("seed", "epochs", "best_epoch")
    listed = [
        {**{name: attempt.record[name] for name in names}, "value": _kept(attempt, task.train.monitor)}
        for attempt in attempts
    ]
    return FitResult(best.body, {**best.record, "attempts": listed}, best.snapshots)


def _kept(attempt: FitResult, name: str) -> float:
    """Return a value at the epoch whose weights were kept."""
    return float(attempt.record["history"][name][attempt.record["best_epoch"] - 1])


def _reached(stop_at: StopAt, attempt: FitResult) -> bool:
    """Return whether an epoch reached the value at which training stops."""
    history = attempt.record["history"]
    if stop_at.accuracy is not None:
        return bool(max(history["val_accuracy"]) >= stop_at.accuracy)
    return stop_at.loss is not None and bool(min(history["val_loss"]) <= stop_at.loss)
