"""The range test: one pass at rates that rise from far too low to far too high, to see which ones learn."""

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

LOWEST, HIGHEST = 1e-6, 10.0
BATCHES = 140  # twenty a power of ten
WINDOW = 10  # batches over which a fall counts; what lies nearer together is noise
MEMORY = 0.9  # of the running mean of losses
HOPELESS = 4.0  # times the lowest loss: there it ends


def range_test(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Leave a picture and the table behind it in out/TASK/range_test; nothing that training made is touched."""
    from tiltyard.experiments import matplotlib_figures

    rows = list(_smoothed(_losses(task, opened(workspace, task))))
    suggested = suggest(rows)
    result = {"suggested": suggested, "set": task.train.rate, "rows": rows}
    with files.replacing_folder(workspace.out(task.name, "range_test")) as folder:
        files.write_json(folder / "range_test.json", result)
        matplotlib_figures.save(matplotlib_figures.rates(rows, suggested), folder / "range_test.png")
    return result


def suggest(rows: list[dict[str, float]]) -> float:
    """Return the rate at which the loss falls fastest by the rate's logarithm: past it, it is about to turn."""
    lowest = min(range(len(rows)), key=lambda place: rows[place]["loss"])
    if lowest < 2:
        raise TrainingError(
            "range test: expected a loss that falls at some rate; it rose from the first",
            hint="see that the features are sound: tiltyard check TASK",
        )
    losses = np.array([row["loss"] for row in rows[: lowest + 1]])
    reach = max(1, min(WINDOW, lowest // 2))
    start = int(np.argmax(losses[:-reach] - losses[reach:]))
    return float(f"{rows[start + reach // 2]['rate']:.2g}")


def _losses(task: Task, parts: TrainingRows) -> Iterator[tuple[float, float]]:
    """Train batch by batch, the rate a little higher each time; give it with the loss before the step."""
    import keras

    from tiltyard.training import network
    from tiltyard.training.batches import Batches
    from tiltyard.training.optimizer import optimizer

    keras.utils.set_random_seed(task.train.seed)
    plain = task.train.model_copy(update={"schedule": Constant(kind="constant"), "learning_rate": LOWEST})
    objective, (features, truth) = Objective.of(task, parts.encoder), parts.train
    model = network.build_trainer(task.train, network.build_core(task, parts.encoder, features.shape[1:]))
    model.compile(optimizer(plain, 1), objective.loss, jit_compile=task.train.jit)
    targets = objective.targets(truth)
    arrays = (features, targets, objective.weights(truth, targets))
    mixup = task.train.augment.mixup if task.train.augment else 0.0
    batches = Batches(arrays, task.train.batch_size, task.train.seed, mixup)
    for place, batch in zip(range(BATCHES), _endless(batches), strict=False):
        rate = LOWEST * (HIGHEST / LOWEST) ** (place / (BATCHES - 1))
        model.optimizer.learning_rate.assign(rate)
        yield rate, _step(model, batch)


def _step(model: keras.Model, batch: Any) -> float:
    """Train on one batch; Keras' loss is a mean over batches unless it is made to forget them."""
    model.reset_metrics()
    return float(model.train_on_batch(*batch, return_dict=True)["loss"])


def _endless(batches: Any) -> Iterator[Any]:
    for epoch in itertools.count():
        batches.deal(epoch)
        yield from (batches[place] for place in range(len(batches)))


def _smoothed(losses: Iterator[tuple[float, float]]) -> Iterator[dict[str, float]]:
    """Yield the running mean of the losses, without its start from nothing, until it has become hopeless."""
    mean, lowest = 0.0, math.inf
    for place, (rate, loss) in enumerate(losses, start=1):
        mean = MEMORY * mean + (1 - MEMORY) * loss
        smooth = mean / (1 - MEMORY**place)
        lowest = min(lowest, smooth)
        if not math.isfinite(loss) or smooth > HOPELESS * lowest:
            return
        yield {"rate": float(f"{rate:.4g}"), "loss": float(f"{smooth:.6g}")}
