"""Fit the members of an ensemble: models of several families, with several seeds, or on parts of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.ensemble_section import member_tasks
from tiltyard.config.task import Task
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import ensemble
from tiltyard.training.blend import loss_of_rows
from tiltyard.training.constant_baseline import baseline_losses
from tiltyard.training.diagnosis import diagnose
from tiltyard.training.fit import FitResult, RunPaths, fit
from tiltyard.training.member_rows import rows_by_member
from tiltyard.training.objective import Objective

if TYPE_CHECKING:
    import keras

SMALLEST = 0.05  # a model of another family with less weight costs time and improves little: it is left out


@dataclass(frozen=True)
class Members:
    """The fitted members of an ensemble, with their outputs for the validation rows."""

    task: Task
    parts: TrainingRows
    tasks: list[Task]
    fitted: list[FitResult]
    rows: list[int]  # training rows of each
    outputs: Array  # (members, rows, units)

    @cached_property
    def objective(self) -> Objective:
        """What the first model learns."""
        return Objective.of(self.task, self.parts.encoder)

    @cached_property
    def targets(self) -> Array:
        """The targets of the validation rows, which choose the weights."""
        return self.objective.core_targets(self.parts.validation[1])

    @cached_property
    def shares(self) -> list[float]:
        """The weight of each member."""
        shares = ensemble.learn_shares(self.outputs, self.targets, self.task.train.blend)
        return ensemble.without_small(shares, SMALLEST) if self.task.ensemble else shares

    @cached_property
    def body(self) -> keras.Model:
        """One model with the weighted mean of the outputs."""
        kept = [place for place, share in enumerate(self.shares) if share]
        if len(kept) == 1:
            return self.fitted[kept[0]].body
        return ensemble.join([self.fitted[place].body for place in kept], [self.shares[place] for place in kept])

    def record(self) -> dict[str, Any]:
        """Return the record of the first member, with a summary of each and the correlation of their errors."""
        first, losses = self.fitted[0], loss_of_rows(self.objective, self.parts.validation[1])
        mean = np.tensordot(self.shares, self.outputs, 1)
        return {
            **first.record,
            "parameters": self.body.count_params(),
            "members": [self._summary(place, losses(outputs)) for place, outputs in enumerate(self.outputs)],
            "members_mean": {"loss": _rounded(losses(mean)), "validation_rows": len(self.targets)},
            "correlation": ensemble.correlation(self.outputs, self.targets),
            "diagnosis": diagnose(
                baseline_losses(self.objective, self.parts, self.body), first.record, first.snapshots
            ),
        }

    def _summary(self, place: int, losses: Array) -> dict[str, Any]:
        """Return what the report shows of a member."""
        record, names = self.fitted[place].record, ("seed", "epochs", "best_epoch", "stopped_early")
        return {
            **({"family": self.tasks[place].model.family} if self.task.ensemble else {}),
            **({"rows": self.rows[place]} if self.task.train.member_rows != "all" else {}),
            **{name: record[name] for name in names},
            "loss": _rounded(losses),
            "share": self.shares[place],
        }


def fit_members(task: Task, parts: TrainingRows, paths: RunPaths) -> Members:
    """Fit one member after another; those that an interrupted run has finished are read from its state."""
    from tiltyard.training import network

    tasks, fitted, rows, outputs = member_tasks(task), [], [], []
    for number, (member, own_parts) in enumerate(zip(tasks, rows_by_member(task, parts, len(tasks)), strict=True), 1):
        fitted.append(fit(member, own_parts, paths.inside(f"member-{number}")))
        rows.append(len(own_parts.train[1]))
        outputs.append(network.outputs(fitted[-1].body, parts.validation[0]))
    return Members(task, parts, tasks, fitted, rows, np.stack(outputs))


def _rounded(losses: Array) -> float:
    return float(f"{losses.mean():.6g}")
