"""Learning rate range test: train one pass at rising rates, and suggest the rate at which the loss falls fastest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.config.learning_rate_schedules import Constant
from tiltyard.config.task import Task
from tiltyard.errors import TrainingError
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.objective import Objective
from tiltyard.training.train import opened
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

MIN_RATE, MAX_RATE = 1e-6, 10.0
BATCHES = 140  # twenty for each power of ten
WINDOW = 10  # batches over which a fall is measured; shorter ones are noise
SMOOTHING = 0.9  # of the exponential running mean
DIVERGENCE_FACTOR = 4.0  # times the lowest loss: the test stops there


def range_test(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Write the losses and a plot to out/TASK/range_test; the trained model stays unchanged."""
    from tiltyard.experiments import plots

    rows = list(_smoothed(_losses(task, opened(workspace, task))))
    suggested = suggest(rows)
    result = {"suggested": suggested, "set": task.train.rate, "rows": rows}
    with files.atomic_folder(workspace.out(task.name, "range_test")) as folder:
        files.write_json(folder / "range_test.json", result)
        plots.save(plots.learning_rate_plot(rows, suggested), folder / "range_test.png")
    return result


def suggest(rows: list[dict[str, float]]) -> float:
    """Return the rate at which the smoothed loss falls fastest on a logarithmic scale."""
    lowest = min(range(len(rows)), key=lambda index: rows[index]["loss"])
    if lowest < 2:
        raise TrainingError(
            "range test: expected a loss that falls at some rate; it rose from the first",
            hint="check the data: tiltyard check TASK",
        )
    losses = np.array([row["loss"] for row in rows[: lowest + 1]])
    width = max(1, min(WINDOW, lowest // 2))
    start = int(np.argmax(losses[:-width] - losses[width:]))
    return float(f"{rows[start + width // 2]['rate']:.2g}")


def _losses(task: Task, data: TrainingRows) -> Iterator[tuple[float, float]]:
    """Train batch by batch at rising rates; yield each rate with the loss before its step."""
    import keras

    from tiltyard.training import network
    from tiltyard.training.batches import Batches
    from tiltyard.training.optimizer import optimizer

    keras.utils.set_random_seed(task.train.seed)
    settings = task.train.model_copy(update={"schedule": Constant(kind="constant"), "learning_rate": MIN_RATE})
    objective, (features, truth) = Objective.of(task, data.encoder), data.train
    model = network.build_trainer(task.train, network.build_core(task, data.encoder, features), task.model)
    model.compile(optimizer(settings, 1), objective.loss, jit_compile=task.train.jit)
    targets = objective.training_targets(truth)
    arrays = (features, targets, objective.weights(truth, targets))
    mixup = task.train.augment.mixup if task.train.augment else 0.0
    batches = Batches(arrays, task.train.batch_size, task.train.seed, mixup, objective.remask)
    for place, batch in zip(range(BATCHES), _repeat_epochs(batches), strict=False):
        rate = MIN_RATE * (MAX_RATE / MIN_RATE) ** (place / (BATCHES - 1))
        model.optimizer.learning_rate.assign(rate)
        yield rate, _step(model, batch)


def _step(model: keras.Model, batch: Any) -> float:
    """Train on one batch; resetting the metrics makes Keras return this batch's loss, not a running mean."""
    model.reset_metrics()
    return float(model.train_on_batch(*batch, return_dict=True)["loss"])


def _repeat_epochs(batches: Any) -> Iterator[Any]:
    for epoch in itertools.count():
        batches.deal(epoch)
        yield from (batches[place] for place in range(len(batches)))


def _smoothed(losses: Iterator[tuple[float, float]]) -> Iterator[dict[str, float]]:
    """Yield bias-corrected running means of the losses until the loss diverges."""
    mean, lowest = 0.0, math.inf
    for place, (rate, loss) in enumerate(losses, start=1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        smooth = mean / (1 - SMOOTHING**place)
        lowest = min(lowest, smooth)
        if not math.isfinite(loss) or smooth > DIVERGENCE_FACTOR * lowest:
            return
        yield {"rate": float(f"{rate:.4g}"), "loss": float(f"{smooth:.6g}")}
