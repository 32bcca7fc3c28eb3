"""Fit one model in resumable phases, and keep the weights that were best on the validation rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.config.task import Task
from tiltyard.config.train_section import Train
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training import diagnosis
from tiltyard.training.objective import Objective

if TYPE_CHECKING:
    import keras

    from tiltyard.training.callbacks import TrainingMonitor
    from tiltyard.training.checkpoint import CheckpointCallback
    from tiltyard.training.gradient_stats import GradientStats


OnEpochLoss = Callable[
    [int, float], None
]  # called with an epoch and its validation loss; an exception ends the training
OnEpochModel = Callable[[int, "keras.Model"], None]  # called with an epoch and the model at that time


@dataclass(frozen=True)
class RunPaths:
    """Where a fit stores its state and curves, its title, and the functions to call after each epoch."""

    state: Path
    logs: Path
    title: str
    tell: OnEpochLoss | None = None
    show: OnEpochModel | None = None

    def inside(self, name: str) -> RunPaths:
        """Return the paths of one fit among several."""
        return RunPaths(self.state / name, self.logs, f"{self.title} {name}")


@dataclass(frozen=True)
class FitResult:
    """A model with its best weights, and the record of its training."""

    body: keras.Model
    record: dict[str, Any]
    snapshots: list[dict[str, Any]]


def fit(task: Task, rows: TrainingRows, place: RunPaths) -> FitResult:
    """Build a model and train it; each phase starts from the best weights of the phase before."""
    import keras

    from tiltyard.training import network

    keras.utils.set_random_seed(task.train.seed)
    body = network.build_core(task, rows.encoder, rows.train[0])
    model = network.build_trainer(task.train, body)
    shared = _Shared(Objective.of(task, rows.encoder), rows, place, body, model, task.model.model_dump_json())
    done: list[CheckpointCallback] = []
    snapshots: list[dict[str, Any]] = []
    for number, settings in enumerate(task.train.phases):
        one = _Part(shared, settings, number, sum(resume.epoch for resume in done))
        resume, seen = one.run()
        done.append(resume)
        snapshots += [{**snapshot, "epoch": snapshot["epoch"] + one.behind} for snapshot in seen]
        for weight, best in zip(model.weights, _best(done).best, strict=True):
            weight.assign(best)
    return FitResult(body, _record(task.train, body, done), snapshots)


def _best(done: list[CheckpointCallback]) -> CheckpointCallback:
    """Return the phase with the best weights; of equals the earlier one."""
    return min(done, key=lambda resume: resume.signed_best)


def _record(train: Train, body: keras.Model, done: list[CheckpointCallback]) -> dict[str, Any]:
    """Return the record of the training, including from which epoch it was resumed."""
    place, ends = done.index(_best(done)), np.cumsum([0, *(resume.epoch for resume in done)]).tolist()
    common = [name for name in done[0].history if all(name in resume.history for resume in done)]
    record: dict[str, Any] = {
        "epochs": ends[-1],
        "best_epoch": ends[place] + done[place].best_epoch + 1,
        "stopped_early": ends[-1] < sum(phase.epochs for phase in train.phases),
        "parameters": body.count_params(),
        "seed": train.seed,
        "history": {name: [value for resume in done for value in resume.history[name]] for name in common},
    }
    if len(done) > 1:
        record["warm_start"] = {"epoch": ends[1] + 1, "from_epoch": done[0].best_epoch + 1}
    return record


@dataclass(frozen=True)
class _Shared:
    """What all phases of a training share."""

    objective: Objective
    rows: TrainingRows
    place: RunPaths
    body: keras.Model
    model: keras.Model  # the model, with augmentation in front of it
    family: str  # the section of the task file that the body was built from, as JSON


@dataclass(frozen=True)
class _Part:
    """One call of Keras' fit, or the rest of it after an interruption."""

    shared: _Shared
    train: Train
    number: int
    behind: int  # epochs of the phases before

    def run(self) -> tuple[CheckpointCallback, list[dict[str, Any]]]:
        """Train until the last epoch, early stopping or divergence; also return the snapshots."""
        from tiltyard.training.callbacks import TrainingMonitor, from_section
        from tiltyard.training.checkpoint import CheckpointCallback

        self._compile()
        train, place, fingerprint = self.train, self.shared.place, self._fingerprint()
        note = place.state / "progress.json"
        watch = TrainingMonitor(place.title, place.logs / fingerprint[:12], note, train.monitor)
        vitals, memorable = self._vitals(watch), from_section(train)
        name = f"state-{self.number + 1}.npz" if self.number else "state.npz"
        resume = CheckpointCallback(place.state / name, fingerprint, [*memorable, *vitals], train.monitor)
        resume.restore(self.shared.model)
        watch.done, watch.best = resume.epoch, resume.best_value
        try:
            if not resume.finished:
                self._fit([*memorable, *self._rates(), watch, *vitals, resume, *self._epoch_callbacks()], resume.epoch)
        finally:
            watch.close()
        if watch.diverged:
            last = [{"epoch": watch.diverged, **one.snapshot()} for one in vitals]
            raise diagnosis.diverged(
                train, watch.diverged, [*(snapshot for one in vitals for snapshot in one.snapshots), *last]
            )
        return resume, [snapshot for one in vitals for snapshot in one.snapshots]

    def _compile(self) -> None:
        from tiltyard.training.optimizer import optimizer

        train, objective = self.train, self.shared.objective
        self.shared.model.compile(
            optimizer=optimizer(train, steps=-(-len(self.shared.rows.train[1]) // train.batch_size)),
            loss=objective.loss,
            weighted_metrics=[],
            metrics=["accuracy"] if objective.encoder.classes else [],
            jit_compile=train.jit,
        )

    def _fit(self, callbacks: list[keras.callbacks.Callback], done: int) -> None:
        from tiltyard.training.batches import Batches
        from tiltyard.training.epochs import Epochs

        train, objective, rows = self.train, self.shared.objective, self.shared.rows
        (features, truth), (later, answers) = rows.train, rows.validation
        mixup = train.augment.mixup if train.augment else 0.0
        right = objective.training_targets(truth)
        arrays = (features, right, objective.weights(truth, right))
        Epochs(
            self.shared.model,
            Batches(arrays, train.batch_size, train.seed, mixup),
            Batches((later, objective.targets(answers)), train.batch_size),
            train.steps_per_execution,
            self.behind,
        ).run(range(done, train.epochs), callbacks)

    def _rates(self) -> list[keras.callbacks.Callback]:
        """Record the learning rate of a schedule; no callback of Keras does."""
        import keras

        optimizer = self.shared.model.optimizer
        if not callable(getattr(optimizer, "_learning_rate", None)):
            return []
        return [
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda _, logs: logs.update(learning_rate=float(optimizer.learning_rate))
            )
        ]

    def _epoch_callbacks(self) -> list[keras.callbacks.Callback]:
        """Report each epoch, without weight penalties, which would make the losses of variants incomparable."""
        import keras

        tell, show, shared = self.shared.place.tell, self.shared.place.show, self.shared
        if not (tell or show):
            return []

        def report_epoch(epoch: int, logs: dict[str, float]) -> None:
            if show:
                show(self.behind + epoch + 1, shared.body)
            if tell:
                tell(self.behind + epoch + 1, float(logs["val_loss"]) - sum(map(float, shared.model.losses)))

        return [keras.callbacks.LambdaCallback(on_epoch_end=report_epoch)]

    def _vitals(self, watch: TrainingMonitor) -> list[GradientStats]:
        import keras

        from tiltyard.training.gradient_stats import ROWS, WAYS, GradientStats

        if not self.train.watch or keras.backend.backend() not in WAYS:
            return []
        objective = self.shared.objective
        features, truth = sample_rows(self.shared.rows.train, min(ROWS, self.train.batch_size))
        return [GradientStats(self.shared.body, objective.loss, (features, objective.targets(truth)), watch.writer)]

    def _fingerprint(self) -> str:
        """Hash everything that decides the outcome, so that no state of another training is resumed."""
        import keras

        shared = self.shared
        shapes = [tuple(weight.shape) for weight in shared.body.weights]  # changes if the code of the model family does
        # the number of steps per call changes no result
        train = f"{self.train.model_dump_json(exclude={'steps_per_execution'})} {self.number}"
        settings = f"{shared.family} {train} {shared.rows.digest} {shared.rows.inherited} {shapes}"
        return hashlib.sha256(f"{keras.__version__} {keras.backend.backend()} {settings}".encode()).hexdigest()
