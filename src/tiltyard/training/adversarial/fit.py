"""Fit a generative adversarial network: epochs of alternating steps, until the last, early stopping or a failure."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from tiltyard.config.task import Task
from tiltyard.config.train_section import Train
from tiltyard.modeling.inference.feature_network import FeatureNetwork
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import diagnosis
from tiltyard.training.adversarial.collapse import find_failure
from tiltyard.training.adversarial.epoch import AdversarialEpoch, SampleMonitor
from tiltyard.training.adversarial.trainer import AdversarialTrainer
from tiltyard.training.batches import Batches
from tiltyard.training.callbacks import TrainingMonitor, from_section
from tiltyard.training.checkpoint import CheckpointCallback
from tiltyard.training.fit import FitResult, RunPaths
from tiltyard.training.optimizer import optimizer
from tiltyard.training.samplers.base import open_sampler
from tiltyard.training.samplers.gan import Gan

BETA = 0.5  # of Adam's mean of gradients, in place of 0.9: as published for GANs, whose gradients turn


def fit_adversarial(task: Task, rows: TrainingRows, paths: RunPaths) -> FitResult:
    """Train, and keep the weights of the epoch whose samples were nearest to validation rows."""
    keras.utils.set_random_seed(task.train.seed)
    sampler = open_sampler(task.model, rows.encoder)
    assert isinstance(sampler, Gan)  # noqa: S101 - for the type checker
    body = sampler.body()
    steps = len(rows.train[0]) // task.train.batch_size
    trainer = sampler.trainer(body, steps, task.train.seed)
    trainer.equip(*(_optimizer(task.train, steps, rate) for rate in (1.0, sampler.family.discriminator_rate)))
    checkpoint = _Fit(task, rows, paths, sampler, trainer).run()
    for weight, best in zip(trainer.weights, checkpoint.best, strict=True):
        weight.assign(best)
    trainer.generator.set_weights(trainer.averaged.get_weights())  # the averages are served
    return FitResult(body, _record(task.train, trainer, checkpoint), [])


def _optimizer(train: Train, steps: int, times: float) -> keras.Optimizer:
    built = optimizer(train.model_copy(update={"learning_rate": train.rate * times}), steps)
    if hasattr(built, "beta_1"):
        built.beta_1 = BETA
    return built


class _Fit:
    """The epochs of one training, or the rest of them after an interruption."""

    def __init__(
        self, task: Task, rows: TrainingRows, paths: RunPaths, sampler: Gan, trainer: AdversarialTrainer
    ) -> None:
        self.train, self.paths, self.trainer = task.train, paths, trainer
        self.fingerprint = _fingerprint(task, rows, trainer)
        batches = Batches((rows.train[0],), task.train.batch_size, task.train.seed)
        self.epoch = AdversarialEpoch(trainer, sampler, batches)
        network = FeatureNetwork.load(rows.feature_folder)
        self.samples = SampleMonitor(network, sampler, np.asarray(rows.validation[0]), task.train.seed)

    def run(self) -> CheckpointCallback:
        """Train; an exception ends it where the generator collapsed, a side won, or a loss is not finite."""
        stateful = from_section(self.train)
        logs = self.paths.logs / self.fingerprint[:12]
        monitor = TrainingMonitor(self.paths.title, logs, self.paths.state / "progress.json", self.train.monitor)
        checkpoint = CheckpointCallback(self.paths.state / "state.npz", self.fingerprint, stateful, self.train.monitor)
        checkpoint.restore(self.trainer)
        monitor.done, monitor.best = checkpoint.epoch, checkpoint.best_value
        if not checkpoint.finished:
            try:
                self._run(monitor, checkpoint, [*stateful, monitor, checkpoint])
            finally:
                monitor.close()
        return checkpoint

    def _run(
        self, monitor: TrainingMonitor, checkpoint: CheckpointCallback, callbacks: list[keras.callbacks.Callback]
    ) -> None:
        epochs = self.train.epochs
        called = keras.callbacks.CallbackList(callbacks, model=self.trainer, epochs=epochs, steps=self.epoch.steps)
        self.trainer.stop_training = False
        called.on_train_begin()
        for epoch in range(checkpoint.epoch, epochs):
            called.on_epoch_begin(epoch)
            figures = {**self.epoch.run(epoch), **self.samples.figures(self.trainer.averaged)}
            called.on_epoch_end(epoch, figures)
            if monitor.diverged:
                raise diagnosis.diverged(self.train, monitor.diverged, [])
            if failure := find_failure(checkpoint.history, len(self.samples.shares), self.epoch.steps):
                raise failure
            if self.paths.tell:
                self.paths.tell(epoch + 1, figures["val_loss"])
            if self.trainer.stop_training:
                break
        called.on_train_end()


def _record(train: Train, trainer: AdversarialTrainer, checkpoint: CheckpointCallback) -> dict[str, Any]:
    return {
        "epochs": checkpoint.epoch,
        "best_epoch": checkpoint.best_epoch + 1,
        "stopped_early": checkpoint.epoch < train.epochs,
        "parameters": trainer.generator.count_params() + trainer.discriminator.count_params(),
        "seed": train.seed,
        "history": checkpoint.history,
    }


def _fingerprint(task: Task, rows: TrainingRows, trainer: AdversarialTrainer) -> str:
    """Hash everything that decides the outcome, so that the state of another training is not resumed."""
    shapes = [tuple(weight.shape) for weight in trainer.weights]
    train = task.train.model_dump_json(exclude={"steps_per_execution", "tensorboard", "threshold"})
    settings = f"{task.model.model_dump_json()} {train} {rows.digest} {rows.features} {shapes}"
    return hashlib.sha256(f"{keras.__version__} {keras.backend.backend()} {settings}".encode()).hexdigest()
