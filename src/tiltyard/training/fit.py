"""Fitting one model: part by part, resumable, to the weights that were best on the validation rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training import diagnosis

if TYPE_CHECKING:
    import keras

    from tiltyard.training.callbacks import TrainingMonitor
    from tiltyard.training.checkpoint import CheckpointCallback
    from tiltyard.training.gradient_stats import GradientStats


Tell = Callable[[int, float], None]  # an epoch and its loss on validation rows; what it raises ends the training
Show = Callable[[int, "keras.Model"], None]  # an epoch and the body as it is then


@dataclass(frozen=True)
class RunPaths:
    """Where a fit keeps its state and its curves, what it is called while it runs, and who is told of each epoch."""

    state: Path
    logs: Path
    title: str
    tell: Tell | None = None
    show: Show | None = None

    def inside(self, name: str) -> RunPaths:
        """Return the place of one fit among several."""
        return RunPaths(self.state / name, self.logs, f"{self.title} {name}")


@dataclass(frozen=True)
class FitResult:
    """A body with its best weights, and how it came to them."""

    body: keras.Model
    record: dict[str, Any]
    looks: list[dict[str, Any]]


def fit(task: Task, phases: TrainingRows, place: RunPaths) -> FitResult:
    """Build a body and train it, each part of the training from the best weights of the one before."""
    import keras

    from tiltyard.training import network

    keras.utils.set_random_seed(task.train.seed)
    body = network.build_core(task, phases.encoder, phases.train[0].shape[1:])
    model = network.build_trainer(task, body)
    done: list[CheckpointCallback] = []
    looks: list[dict[str, Any]] = []
    for number, settings in enumerate(task.train.phases):
        now = task.model_copy(update={"train": settings})
        one = _Part(now, phases, place, body, model, number, sum(resume.epoch for resume in done))
        resume, seen = one.run()
        done.append(resume)
        looks += [{**look, "epoch": look["epoch"] + one.behind} for look in seen]
        for weight, best in zip(model.weights, _best(done).best, strict=True):
            weight.assign(best)
    return FitResult(body, _record(task, body, done), looks)


def _best(done: list[CheckpointCallback]) -> CheckpointCallback:
    """Return the part with the best weights; the earlier of equals."""
    return min(done, key=lambda resume: resume.best_figure)


def _record(task: Task, body: keras.Model, done: list[CheckpointCallback]) -> dict[str, Any]:
    """Return how training went; what was continued from where is said, too."""
    place, ends = done.index(_best(done)), np.cumsum([0, *(resume.epoch for resume in done)]).tolist()
    common = [name for name in done[0].history if all(name in resume.history for resume in done)]
    record: dict[str, Any] = {
        "epochs": ends[-1],
        "best_epoch": ends[place] + done[place].best_epoch + 1,
        "stopped_early": ends[-1] < sum(part.epochs for part in task.train.phases),
        "parameters": body.count_params(),
        "seed": task.train.seed,
        "history": {name: [value for resume in done for value in resume.history[name]] for name in common},
    }
    if len(done) > 1:
        record["warm_start"] = {"epoch": ends[1] + 1, "from_epoch": done[0].best_epoch + 1}
    return record


@dataclass(frozen=True)
class _Part:
    """One call of Keras' fit, or what is left of it."""

    task: Task
    phases: TrainingRows
    place: RunPaths
    body: keras.Model
    model: keras.Model
    number: int
    behind: int  # epochs of the parts before

    def run(self) -> tuple[CheckpointCallback, list[dict[str, Any]]]:
        """Train until the epochs are over, patience is, or the loss is no number; give what was seen, too."""
        from tiltyard.training.callbacks import TrainingMonitor, from_section
        from tiltyard.training.checkpoint import CheckpointCallback

        self._compile()
        train, fingerprint = self.task.train, self._fingerprint()
        note = self.place.state / "progress.json"
        watch = TrainingMonitor(self.place.title, self.place.logs / fingerprint[:12], note, train.monitor)
        vitals, memorable = self._vitals(watch), from_section(train)
        name = f"state-{self.number + 1}.npz" if self.number else "state.npz"
        resume = CheckpointCallback(self.place.state / name, fingerprint, [*memorable, *vitals], train.monitor)
        resume.restore(self.model)
        watch.done, watch.best = resume.epoch, resume.best_value
        try:
            if not resume.finished:
                self._fit([*memorable, *self._rates(), watch, *vitals, resume, *self._told()], resume.epoch)
        finally:
            watch.close()
        if watch.diverged:
            last = [{"epoch": watch.diverged, **one.look()} for one in vitals]
            raise diagnosis.diverged(train, watch.diverged, [*(look for one in vitals for look in one.looks), *last])
        return resume, [look for one in vitals for look in one.looks]

    def _compile(self) -> None:
        from tiltyard.training import network
        from tiltyard.training.optimizer import optimizer

        train = self.task.train
        self.model.compile(
            optimizer=optimizer(train, steps=-(-len(self.phases.train[1]) // train.batch_size)),
            loss=network.loss(self.task),
            weighted_metrics=[],
            metrics=["accuracy"] if self.task.classes else [],
            jit_compile=train.jit,
            steps_per_execution=train.steps_per_execution,
        )

    def _fit(self, others: list[keras.callbacks.Callback], done: int) -> None:
        import keras

        from tiltyard.training import network
        from tiltyard.training.batches import Batches

        train, (features, truth), (later, answers) = self.task.train, self.phases.train, self.phases.validation
        mixup = train.augment.mixup if train.augment else 0.0
        right = network.targets(self.task, self.phases.encoder, truth)
        arrays = (features, right, weights(self.task, truth, right))
        batches = Batches(arrays, train.batch_size, train.seed, mixup)
        deal = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.deal(self.behind + epoch))
        validation = Batches((later, network.targets(self.task, self.phases.encoder, answers)), train.batch_size)
        self.model.fit(
            batches.fed(),
            validation_data=validation.fed(),
            epochs=train.epochs,
            initial_epoch=done,
            callbacks=[deal, *others],
            shuffle=False,  # `deal` does it: Keras' own shuffling cannot be resumed
            verbose=0,
        )

    def _rates(self) -> list[keras.callbacks.Callback]:
        """Note the rate of a schedule, which no callback of Keras does."""
        import keras

        if not callable(getattr(self.model.optimizer, "_learning_rate", None)):
            return []
        return [
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda _, logs: logs.update(learning_rate=float(self.model.optimizer.learning_rate))
            )
        ]

    def _told(self) -> list[keras.callbacks.Callback]:
        """Report each epoch, without the penalties on weights: they would make losses of two variants incomparable."""
        import keras

        tell, show = self.place.tell, self.place.show
        if not (tell or show):
            return []

        def told(epoch: int, logs: dict[str, float]) -> None:
            if show:
                show(self.behind + epoch + 1, self.body)
            if tell:
                tell(self.behind + epoch + 1, float(logs["val_loss"]) - sum(map(float, self.model.losses)))

        return [keras.callbacks.LambdaCallback(on_epoch_end=told)]

    def _vitals(self, watch: TrainingMonitor) -> list[GradientStats]:
        import keras

        from tiltyard.training import network
        from tiltyard.training.gradient_stats import ROWS, WAYS, GradientStats

        if not self.task.train.watch or keras.backend.backend() not in WAYS:
            return []
        features, truth = sample_rows(self.phases.train, min(ROWS, self.task.train.batch_size))
        rows = features, network.targets(self.task, self.phases.encoder, truth)
        return [GradientStats(self.body, network.loss(self.task), rows, watch.writer)]

    def _fingerprint(self) -> str:
        """Name a training by all that decides its outcome, so that no other run's state is taken up."""
        import keras

        shapes = [tuple(weight.shape) for weight in self.body.weights]  # the code of a family may have changed
        train = f"{self.task.train.model_dump_json()} {self.number}"
        settings = f"{self.task.model.model_dump_json()} {train} {self.phases.digest} {self.phases.inherited} {shapes}"
        return hashlib.sha256(f"{keras.__version__} {keras.backend.backend()} {settings}".encode()).hexdigest()


def weights(task: Task, truth: Array, targets: Array) -> Array:
    """Return a weight of each row or step of a text: 1, its label's, or what makes every class count alike."""
    wanted = task.train.class_weights
    if wanted == "none":
        return np.ones(targets.shape if task.kind.targets == "text" else len(truth), dtype=np.float32)
    if isinstance(wanted, dict):
        return np.array([wanted.get(label, 1.0) for label in task.classes], dtype=np.float32)[truth]
    counts = np.bincount(truth, minlength=len(task.classes))
    balanced: Array = (len(truth) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[truth].astype(np.float32)
    return balanced
