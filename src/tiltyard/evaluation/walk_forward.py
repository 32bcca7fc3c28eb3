"""Walk-forward evaluation: train again on all rows known so far, forecast the next test rows, and go on.

Nothing is chosen by test rows: epochs and learning rates are those that the first training chose by validation rows,
and each training ends after them. The scaling of features stays that of the first training, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.arrays import Array, take_rows
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TaskError, TrainingError
from tiltyard.modeling.evaluators.forecasting import ahead
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.runtime import progress
from tiltyard.workspace import Workspace

MAX_TRAININGS = 500


def walk_forward(
    workspace: Workspace, task: Task, test: TestRows, model: Predictions, context: Context
) -> tuple[dict[str, Any], dict[str, dict[str, list[Any]]]]:
    """Return what the report says of it, and the columns of a CSV file with all forecasts.

    `model` has the predictions of the trained model and of the baseline for the same rows.
    """
    trainings = _trainings(task, len(test.truth))
    outputs, known = _forecasts(workspace, task, test, trainings)
    facts = {
        "every": trainings.step,
        "trainings": len(trainings),
        "known": known,
        "epochs": int(_training(workspace, task)["best_epoch"]),
        **_measured(task, test, outputs, model, context),
    }
    return facts, {"walk_forward": _plot(trainings, test, outputs, model)}


def _trainings(task: Task, rows: int) -> range:
    """Return the test rows at which a training begins; raise TaskError if there are too many."""
    every = task.evaluate.walk_forward.every if task.evaluate.walk_forward else 1
    trainings = range(0, rows, every)
    if len(trainings) > MAX_TRAININGS:
        least = -(-rows // MAX_TRAININGS)
        raise TaskError(
            f"evaluate.walk_forward.every: expected at least {least} for {rows:,} test rows, so that there are at most "
            f"{MAX_TRAININGS} trainings; received {every}",
            hint=f"set it in tasks/{task.name}.yaml, then: tiltyard evaluate {task.name}",
        )
    return trainings


def _forecasts(workspace: Workspace, task: Task, test: TestRows, trainings: range) -> tuple[Array, list[int]]:
    """Return the forecasts for all test rows, and how many rows the first and the last training knew."""
    from tiltyard.training.refit import Plan, refit
    from tiltyard.training.train import opened

    encoder = opened(workspace, task).encoder
    features, truth = _all_rows(workspace, task, encoder, test)
    plan, first = Plan.of(_training(workspace, task)), _first_row(task, len(truth))
    outputs, known = [], []
    with progress.progress_bar(f"{task.name}: walk-forward", len(trainings), 0, "trainings") as show:
        for done, place in enumerate(trainings):
            asked = test.number[place : place + trainings.step]
            # the last row whose whole truth lies before the value that is forecast
            rows = slice(first, int(asked[0]) - task.target.horizon + 1)
            outputs.append(refit(task, encoder, plan, (features[rows], truth[rows]), features[asked]))
            _refuse_diverged(task, outputs[-1], done + 1)
            known.append(rows.stop - rows.start)
            show(done + 1)
    return ahead(np.concatenate(outputs)).astype(np.float64), [known[0], known[-1]]


def _refuse_diverged(task: Task, outputs: Array, training: int) -> None:
    if not np.isfinite(outputs).all():
        raise TrainingError(
            f"walk-forward: training {training} of {task.name} gives NaN or infinity; expected none",
            hint=f"lower train.learning_rate or set train.clip_norm in tasks/{task.name}.yaml",
        )


def _all_rows(workspace: Workspace, task: Task, encoder: Encoder, test: TestRows) -> tuple[Array, Array]:
    """Return all rows in order of time, also those that the split leaves out between its parts."""
    modality = plugins.load("modalities", task.modality)()
    rows, truth = modality.rows(task, workspace.raw(task.name))
    same = len(truth) > test.number.max() and np.array_equal(truth[test.number], test.truth)
    if not same or any(not np.array_equal(take_rows(rows, test.number)[name], test.rows[name]) for name in test.rows):
        raise DataError(
            f"data/raw/{task.name}: expected the rows that were prepared; received others",
            hint=f"prepare them again: tiltyard prepare {task.name}",
        )
    return encoder.encode(rows), truth


def _first_row(task: Task, rows: int) -> int:
    """Return the first row that the split uses."""
    return max(rows - task.split.rows, 0) if task.split.rows else 0


def _measured(task: Task, test: TestRows, outputs: Array, model: Predictions, context: Context) -> dict[str, Any]:
    """Return all metrics with intervals, and the gains over the baseline and over the model that is not trained again.

    The gains are those of the gate's metric.
    """
    evaluator, metric, truth = task.evaluator, task.metric, test.truth
    rows = len(truth)
    bootstrap = Bootstrap(rows, task.split.seed, task.gate.confidence, task.dependence(test.unit, rows))
    intervals = bootstrap.intervals(evaluator.scores_of_rows(truth, outputs, context))
    rivals = {"over_baseline": model.baseline, "over_model": ahead(model.outputs)}

    def score(values: Array, places: Array) -> float:
        return metric.score(truth[places], values[places], context)

    return {
        "metrics": evaluator.scores(truth, outputs, context),
        "intervals": {name: evaluator.metrics[name].bounded(interval) for name, interval in intervals.items()},
        **{name: bootstrap.gain(metric, score, outputs, old).to_json() for name, old in rivals.items()},
    }


def _plot(trainings: range, test: TestRows, outputs: Array, model: Predictions) -> dict[str, list[Any]]:
    """Return actual value and forecasts of the first step of each test row."""
    rows = len(test.truth)
    return {
        "row": test.number.tolist(),
        "training": (np.arange(rows) // trainings.step + 1).tolist(),
        "actual": test.truth.reshape(rows, -1)[:, 0].astype(np.float64).tolist(),
        "forecast": outputs[:, 0].tolist(),
        "model": ahead(model.outputs)[:, 0].astype(np.float64).tolist(),
        "baseline": model.baseline[:, 0].astype(np.float64).tolist(),
    }


def _training(workspace: Workspace, task: Task) -> Any:
    return files.read_json(workspace.out(task.name, "train") / "training.json")
