"""Keras callbacks: progress, TensorBoard, early stopping, stop on divergence or at a target value."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tiltyard import files
from tiltyard.config.learning_rate_schedules import Plateau
from tiltyard.config.train_section import StopAt, Train
from tiltyard.runtime import progress
from tiltyard.training import diagnosis
from tiltyard.training.checkpoint import CheckpointCallback
from tiltyard.training.event_writer import EventWriter

SECONDS_A_LINE = 5  # without a terminal
SECONDS_A_NOTE = 0.25  # between two writes of the progress file, which take longer than an epoch of a small model


class TrainingMonitor(keras.callbacks.Callback):  # type: ignore[misc]
    """Show epoch, losses, metric and time left; stop a diverged training."""

    def __init__(self, task: str, logs: Path, progress_file: Path, monitor: str = "val_loss") -> None:
        super().__init__()
        self.task = task
        self.writer = EventWriter(logs)
        self.progress_file = progress_file
        self.done = 0  # finished epochs, including those before an interruption
        self.monitor = monitor
        self.best: float | None = None  # monitored value, including epochs before an interruption
        self.diverged = 0
        self.console = progress.console(stderr=True)
        self.bar = Progress(
            TextColumn("[bold]{task.description}[/] epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.last_line = time.monotonic()
        self.last_note = -math.inf

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start the bar at the epoch of an interrupted run."""
        self.bar.start()
        self.row = self.bar.add_task(self.task, total=self.params["epochs"], completed=self.done, figures="")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the values as a bar or as occasional lines, and write them for TensorBoard."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.done = epoch + 1
        if not math.isfinite(figures["loss"]) or not math.isfinite(figures.get("val_loss", 0.0)):
            self.diverged = self.diverged or self.done
            self.model.stop_training = True
            return
        for name, value in figures.items():
            self.writer.add_scalar(name, value, epoch)
        text = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "learning_rate")
        self.bar.update(self.row, completed=self.done, figures=text)
        self._write_progress(figures)
        if not self.console.is_terminal and time.monotonic() - self.last_line > SECONDS_A_LINE:
            self.console.print(
                f"{self.task} epoch {self.done}/{self.params['epochs']}  {text}", highlight=False, soft_wrap=True
            )
            self.last_line = time.monotonic()

    def _write_progress(self, figures: dict[str, float]) -> None:
        """Write the progress to a file, which `tiltyard run` shows, unless it was written just before."""
        if (value := figures.get(self.monitor)) is not None:
            better = max if self.monitor.endswith("accuracy") else min
            self.best = value if self.best is None else better(self.best, value)
        if time.monotonic() - self.last_note < SECONDS_A_NOTE:
            return
        self.last_note = time.monotonic()
        position = {"epoch": self.done, "epochs": self.params["epochs"], "monitor": self.monitor, "best": self.best}
        files.write_json(self.progress_file, {**position, **figures})

    def close(self) -> None:
        """Close the bar and the event file."""
        self.bar.stop()
        self.writer.close()


class DivergenceCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """End a training whose losses stay far above that of the best constant.

    Those of sigmoids and softmaxes are bounded: a learning rate that is too high gives large losses, not infinite ones.
    """

    def __init__(self, train: Train, checkpoint: CheckpointCallback, constant: Callable[[], float]) -> None:
        super().__init__()
        self.train = train
        self.checkpoint = checkpoint  # has the losses of earlier epochs, also those before an interruption
        self.constant = constant

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Raise a TrainingError if the last epochs are hopeless; their state is not saved."""
        figures, history = logs or {}, self.checkpoint.history
        losses, validation = ([*history.get(name, ()), float(figures[name])] for name in ("loss", "val_loss"))
        if (stalled := diagnosis.stalled_loss(losses, validation)) is None:
            return
        loss = stalled - sum(map(float, self.model.losses))  # without penalties of weights
        if loss > diagnosis.ABOVE * (constant := self.constant()):
            raise diagnosis.diverging(self.train, epoch + 1, loss, constant)


class StopAtThreshold(keras.callbacks.Callback):  # type: ignore[misc]
    """Stop training after the first epoch that reaches a given loss or accuracy."""

    def __init__(self, stop_at: StopAt) -> None:
        super().__init__()
        self.stop_at = stop_at

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Compare the value of the validation rows, or of the training rows, with the threshold."""
        figures, side = logs or {}, "val_" if self.stop_at.on == "validation" else ""
        accurate = self.stop_at.accuracy is not None and figures[f"{side}accuracy"] >= self.stop_at.accuracy
        if accurate or (self.stop_at.loss is not None and figures[f"{side}loss"] <= self.stop_at.loss):
            self.model.stop_training = True


def from_section(train: Train) -> list[keras.callbacks.Callback]:
    """Return the Keras callbacks that the train section configures."""
    callbacks: list[keras.callbacks.Callback] = []
    if train.patience:
        callbacks.append(
            keras.callbacks.EarlyStopping(train.monitor, min_delta=train.min_delta, patience=train.patience)
        )
    if isinstance(plateau := train.schedule, Plateau):
        wait = plateau.wait(train.patience)
        callbacks.append(keras.callbacks.ReduceLROnPlateau(train.monitor, factor=plateau.factor, patience=wait))
    return [*callbacks, StopAtThreshold(train.stop_at)] if train.stop_at else callbacks
