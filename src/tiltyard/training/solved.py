"""Train a family that computes its output layer itself: in closed form, by a rule of its own, or as given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import TrainingError
from tiltyard.modeling.models._solved import Part, SolvedModel, Steps
from tiltyard.modeling.models.linear import SumsOfSquares
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.constant_baseline import baseline_losses
from tiltyard.training.diagnosis import diagnose
from tiltyard.training.objective import Objective, encode_targets

if TYPE_CHECKING:
    import keras


def fit_solved(task: Task, model: SolvedModel, parts: TrainingRows) -> tuple[keras.Model, dict[str, Any]]:
    """Return the network with its output layer, and the record of its training."""
    import keras

    from tiltyard.training import network

    keras.utils.set_random_seed(task.train.seed)
    body = network.build_core(task, parts.encoder, parts.train[0])
    output = body.get_layer("output")
    output.set_weights([np.zeros(weight.shape) for weight in output.weights])
    before = keras.Model(body.input, output.input)
    train, validation = (_part(part, before, body, parts, task) for part in (parts.train, parts.validation))
    solution = model.solve(train, validation, Steps(task.train.rate, task.train.epochs, task.train.seed))
    if not (np.isfinite(solution.weights).all() and np.isfinite(solution.bias).all()):
        raise _diverged(task, solution.history["loss"])
    output.set_weights([solution.weights.astype(np.float32), solution.bias.astype(np.float32)])
    steps = len(solution.history["loss"])
    record: dict[str, Any] = {
        "epochs": steps,
        "best_epoch": steps,  # the last: nothing is chosen by validation rows
        "stopped_early": steps < task.train.epochs or steps == 1,
        "parameters": body.count_params(),
        "seed": task.train.seed,
        "history": solution.history,
        **solution.facts,
        **_squares(task, parts, network.outputs(body, parts.train[0])),
    }
    losses = baseline_losses(Objective.of(task, parts.encoder), parts, body)
    return body, {**record, "diagnosis": diagnose(losses, record, [])}


def _part(
    part: tuple[Features, Array], before: keras.Model, body: keras.Model, parts: TrainingRows, task: Task
) -> Part:
    """Return the inputs of the output layer, and the targets less what is added after it: a forecast's last value."""
    from tiltyard.training import network

    features, truth = part
    targets = encode_targets(parts.encoder, truth).reshape(len(truth), -1).astype(np.float64)
    added = network.outputs(body, features) if task.problem == "forecasting" else 0.0
    return network.outputs(before, features).astype(np.float64), targets - added


def _squares(task: Task, parts: TrainingRows, outputs: Array) -> dict[str, Any]:
    """Return the sums of squares on the training rows, of a single number in the unit in which it is learned."""
    if task.problem != "regression":
        return {}
    std = parts.encoder.target["std"]
    targets = encode_targets(parts.encoder, parts.train[1]).astype(np.float64) * std
    sums = SumsOfSquares.of(targets, outputs[:, 0].astype(np.float64) * std)
    return {
        "sums_of_squares": {
            "total": sums.total,
            "errors": sums.errors,
            "explained": sums.explained,
            "r2": sums.r2,
            "correlation": sums.correlation,
        }
    }


def _diverged(task: Task, costs: list[float]) -> TrainingError:
    step = next((number for number, value in enumerate(costs, 1) if not np.isfinite(value)), len(costs))
    return TrainingError(
        f"training diverged in step {step}: expected a finite cost; received NaN or infinity",
        hint=f"lower train.learning_rate (now {task.train.rate:g})",
    )
