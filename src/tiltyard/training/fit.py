"""Fit one model in resumable phases, and keep the weights that were best on the validation rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.config.task import Task
from tiltyard.config.train_section import Train
from tiltyard.modeling.models.dbn import Dbn
from tiltyard.modeling.models.rbm import Rbm
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training import diagnosis, platt
from tiltyard.training.objective import Objective
from tiltyard.training.samplers.base import open_sampler

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


def fit(task: Task, rows: TrainingRows, paths: RunPaths) -> FitResult:
    """Build a model and train it; each phase starts from the best weights of the phase before."""
    import keras

    from tiltyard.training import network

    if task.model.adversarial:
        from tiltyard.training.adversarial.fit import fit_adversarial

        return fit_adversarial(task, rows, paths)
    if isinstance(task.model, Rbm):
        from tiltyard.training.boltzmann import fit_boltzmann

        return fit_boltzmann(task, rows, paths)
    keras.utils.set_random_seed(task.train.seed)
    body = network.build_core(task, rows.encoder, rows.train[0])
    pretraining = _pretrain(task, rows, paths, body)
    if task.model.generates:
        steps = -(-len(rows.train[1]) // task.train.batch_size)
        model = open_sampler(task.model, rows.encoder).trainer(body, steps, task.train.seed)
    else:
        model = network.build_trainer(task.train, body, task.model)
    family = task.model.model_dump_json(exclude={"blend_references"})  # it changes nothing in the network
    shared = _Shared(Objective.of(task, rows.encoder), rows, paths, body, model, family)
    checkpoints: list[CheckpointCallback] = []
    snapshots: list[dict[str, Any]] = []
    for number, settings in enumerate(task.train.phases):
        task.model.begin_phase(body, number, len(task.train.phases) - 1)
        phase = _Phase(shared, settings, number, sum(checkpoint.epoch for checkpoint in checkpoints))
        checkpoint, phase_snapshots = phase.run()
        checkpoints.append(checkpoint)
        snapshots += [{**snapshot, "epoch": snapshot["epoch"] + phase.epochs_before} for snapshot in phase_snapshots]
        for weight, best in zip(model.weights, _best_checkpoint(checkpoints).best, strict=True):
            weight.assign(best)
    record = {**_record(task.train, body, checkpoints), **pretraining}
    if shared.objective.learns_margins:
        record["probabilities"] = platt.calibrate(body, rows.validation)
    if "embeddings" in task.train.tensorboard:
        from tiltyard.training import projector

        projector.write(phase.logs, body, rows)
    return FitResult(body, record, snapshots)


def _pretrain(task: Task, rows: TrainingRows, paths: RunPaths, body: keras.Model) -> dict[str, Any]:
    """Train the layers of a deep belief network without labels; return the record of it, empty for other families."""
    if not isinstance(task.model, Dbn):
        return {}
    from tiltyard.training import deep_belief

    return deep_belief.pretrain(task, rows, (paths.state, paths.title), body)


def _best_checkpoint(checkpoints: list[CheckpointCallback]) -> CheckpointCallback:
    """Return the phase with the best weights; of equals the earlier one."""
    return min(checkpoints, key=lambda checkpoint: checkpoint.signed_best)


def _record(train: Train, body: keras.Model, checkpoints: list[CheckpointCallback]) -> dict[str, Any]:
    """Return the record of the training, including from which epoch it was resumed."""
    best_index = checkpoints.index(_best_checkpoint(checkpoints))
    ends = np.cumsum([0, *(checkpoint.epoch for checkpoint in checkpoints)]).tolist()
    common = [name for name in checkpoints[0].history if all(name in checkpoint.history for checkpoint in checkpoints)]
    record: dict[str, Any] = {
        "epochs": ends[-1],
        "best_epoch": ends[best_index] + checkpoints[best_index].best_epoch + 1,
        "stopped_early": ends[-1] < sum(phase.epochs for phase in train.phases),
        "parameters": body.count_params(),
        "seed": train.seed,
        "history": {
            name: [value for checkpoint in checkpoints for value in checkpoint.history[name]] for name in common
        },
    }
    if len(checkpoints) > 1:
        record["warm_start"] = {"epoch": ends[1] + 1, "from_epoch": checkpoints[0].best_epoch + 1}
    return record


@dataclass(frozen=True)
class _Shared:
    """The values that all phases of a training share."""

    objective: Objective
    rows: TrainingRows
    paths: RunPaths
    body: keras.Model
    model: keras.Model  # the model, with augmentation in front of it
    family: str  # the section of the task file that the body was built from, as JSON


@dataclass(frozen=True)
class _Phase:
    """One call of Keras' fit, or the rest of it after an interruption."""

    shared: _Shared
    train: Train
    number: int
    epochs_before: int  # epochs of the phases before

    def run(self) -> tuple[CheckpointCallback, list[dict[str, Any]]]:
        """Train until the last epoch, early stopping or divergence; also return the snapshots."""
        from tiltyard.training.callbacks import TrainingMonitor, from_section
        from tiltyard.training.checkpoint import CheckpointCallback

        self._compile()
        train, paths, fingerprint = self.train, self.shared.paths, self._fingerprint()
        progress_file = paths.state / "progress.json"
        monitor = TrainingMonitor(paths.title, self.logs, progress_file, train.monitor)
        statistics, stateful = self._gradient_statistics(monitor), from_section(train)
        name = f"state-{self.number + 1}.npz" if self.number else "state.npz"
        checkpoint = CheckpointCallback(paths.state / name, fingerprint, [*stateful, *statistics], train.monitor)
        checkpoint.restore(self.shared.model)
        monitor.done, monitor.best = checkpoint.epoch, checkpoint.best_value
        if "graph" in train.tensorboard and not checkpoint.epoch:
            monitor.writer.add_graph(self.shared.body)
        try:
            if not checkpoint.finished:
                self._fit(
                    [
                        *(*stateful, *self._rates(), monitor, *statistics, self._divergence(checkpoint)),
                        *(checkpoint, *self._epoch_callbacks()),
                    ],
                    checkpoint.epoch,
                )
        finally:
            monitor.close()
        if monitor.diverged:
            last = [{"epoch": monitor.diverged, **statistic.snapshot()} for statistic in statistics]
            raise diagnosis.diverged(
                train,
                monitor.diverged,
                [*(snapshot for statistic in statistics for snapshot in statistic.snapshots), *last],
            )
        return checkpoint, [snapshot for statistic in statistics for snapshot in statistic.snapshots]

    @property
    def logs(self) -> Path:
        """The folder of the run for TensorBoard."""
        return self.shared.paths.logs / self._fingerprint()[:12]

    def _compile(self) -> None:
        from tiltyard.training.optimizer import optimizer

        train, objective = self.train, self.shared.objective
        self.shared.model.compile(
            optimizer=optimizer(train, steps=-(-len(self.shared.rows.train[1]) // train.batch_size)),
            loss=objective.loss,
            weighted_metrics=[],
            metrics=["accuracy"] if objective.encoder.problem.targets == "label" else [],
            jit_compile=train.jit,
        )

    def _fit(self, callbacks: list[keras.callbacks.Callback], done: int) -> None:
        from tiltyard.training.batches import Batches
        from tiltyard.training.epochs import Epochs

        train, objective, rows = self.train, self.shared.objective, self.shared.rows
        (features, truth), (validation_features, validation_truth) = rows.train, rows.validation
        mixup = train.augment.mixup if train.augment else 0.0
        targets = objective.training_targets(truth)
        arrays = (features, targets, objective.weights(truth, targets))
        Epochs(
            self.shared.model,
            Batches(arrays, train.batch_size, train.seed, mixup, objective.remask),
            Batches((validation_features, objective.targets(validation_truth)), train.batch_size),
            train.steps_per_execution,
            self.epochs_before,
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

    def _divergence(self, checkpoint: CheckpointCallback) -> keras.callbacks.Callback:
        from tiltyard.training.callbacks import DivergenceCallback
        from tiltyard.training.constant_baseline import constant_loss

        shared = self.shared
        units = shared.body.output_shape[-1]
        constant = cache(lambda: constant_loss(shared.objective, shared.rows, units))
        return DivergenceCallback(self.train, checkpoint, constant)

    def _epoch_callbacks(self) -> list[keras.callbacks.Callback]:
        """Report each epoch, without weight penalties, which would make the losses of variants incomparable."""
        import keras

        on_loss, on_model, shared = self.shared.paths.tell, self.shared.paths.show, self.shared
        if not (on_loss or on_model):
            return []

        def report_epoch(epoch: int, logs: dict[str, float]) -> None:
            if on_model:
                on_model(self.epochs_before + epoch + 1, shared.body)
            if on_loss:
                on_loss(self.epochs_before + epoch + 1, float(logs["val_loss"]) - sum(map(float, shared.model.losses)))

        return [keras.callbacks.LambdaCallback(on_epoch_end=report_epoch)]

    def _gradient_statistics(self, monitor: TrainingMonitor) -> list[GradientStats]:
        import keras

        from tiltyard.training.gradient_stats import PROBE_BUILDERS, ROWS, GradientStats

        samples = self.shared.objective.encoder.problem.generates  # whose loss is not one of outputs and targets
        if samples or not self.train.watch or keras.backend.backend() not in PROBE_BUILDERS:
            return []
        objective = self.shared.objective
        features, truth = sample_rows(self.shared.rows.train, min(ROWS, self.train.batch_size))
        rows, histograms = (features, objective.targets(truth)), "histograms" in self.train.tensorboard
        return [GradientStats(self.shared.body, objective.loss, rows, monitor.writer, histograms=histograms)]

    def _fingerprint(self) -> str:
        """Hash everything that decides the outcome, so that the state of another training is not resumed."""
        import keras

        shared = self.shared
        shapes = [tuple(weight.shape) for weight in shared.body.weights]  # changes if the code of the model family does
        # the number of steps per call and files for TensorBoard change no result, and thresholds are chosen afterwards
        unused = {"steps_per_execution", "tensorboard", "threshold", "anomaly"}
        train = f"{self.train.model_dump_json(exclude=unused)} {self.number}"
        settings = f"{shared.family} {train} {shared.rows.digest} {shared.rows.inherited} {shapes}"
        return hashlib.sha256(f"{keras.__version__} {keras.backend.backend()} {settings}".encode()).hexdigest()
