"""Checkpoints: the complete training state is written atomically to one file, as often as its cost allows."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tiltyard import files
from tiltyard.arrays import Array

# Largest share of a training's time spent on writing its state; a resumed run repeats the epochs since the last write.
SHARE = 0.05


class CheckpointCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Save weights, optimizer, random states, best weights, history and the state of other callbacks.

    Keras' BackupAndRestore does not save the best values of EarlyStopping and ModelCheckpoint, so that a resumed run
    may stop elsewhere and keep worse weights. Must be the last callback, to save the decisions of the others.
    """

    def __init__(
        self, path: Path, fingerprint: str, callbacks: list[keras.callbacks.Callback], monitor: str = "val_loss"
    ) -> None:
        super().__init__()
        self.path = path
        self.fingerprint = fingerprint
        self.callbacks = callbacks
        self.monitor = monitor
        self.history: dict[str, list[float]] = {}
        self.best: list[Array] = []
        self.best_epoch = -1
        self.finished = False
        self._callback_states: list[dict[str, Any]] = []
        self._saved_at = -math.inf  # when the state was last written, and how many seconds that took
        self._save_seconds = 0.0

    @property
    def epoch(self) -> int:
        """Return the number of finished epochs."""
        return len(self.history.get("loss", []))

    @property
    def signed_best(self) -> float:
        """Return the best monitored value, negated if higher is better."""
        return self._signed(self.history[self.monitor][self.best_epoch])

    @property
    def best_value(self) -> float | None:
        """Return the best monitored value, or None before the first epoch."""
        return self.history[self.monitor][self.best_epoch] if self.best_epoch >= 0 else None

    def _signed(self, value: float) -> float:
        return -value if self.monitor.endswith("accuracy") else value

    def restore(self, model: keras.Model) -> None:
        """Load the state of an interrupted run with the same fingerprint, if there is one; `model` is compiled."""
        model.optimizer.build(model.trainable_variables)
        if not self.path.is_file():
            return
        with np.load(self.path, allow_pickle=False) as arrays:
            facts = json.loads(str(arrays["facts"]))
            if facts["fingerprint"] != self.fingerprint:
                return
            for place, variable in enumerate(_variables(model)):
                variable.assign(arrays[f"now{place}"])
            self.best = [arrays[f"best{place}"] for place in range(len(model.weights))]
        self.history, self.best_epoch, self.finished = facts["history"], facts["best_epoch"], facts["finished"]
        self._callback_states = facts["memory"]
        self._restore_callbacks()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the state of the other callbacks, after they reset it."""
        self._restore_callbacks()

    def _restore_callbacks(self) -> None:
        for callback, state in zip(self.callbacks, self._callback_states, strict=False):
            vars(callback).update(state)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record values and best weights, then save everything if it is due."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        if not all(math.isfinite(figures[name]) for name in ("loss", "val_loss")):
            return  # never resume from a diverged epoch
        if self.best_epoch < 0 or self._signed(figures[self.monitor]) < self.signed_best:
            self.best, self.best_epoch = [np.array(weight) for weight in self.model.weights], epoch
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)
        self.finished = bool(self.model.stop_training) or self.epoch == self.params["epochs"]
        started = time.monotonic()
        if self.finished or self._save_seconds <= SHARE * (started - self._saved_at):
            self._save()
            self._saved_at = time.monotonic()
            self._save_seconds = self._saved_at - started

    def _save(self) -> None:
        facts = {
            "fingerprint": self.fingerprint,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "finished": self.finished,
            "memory": [_callback_state(callback) for callback in self.callbacks],
        }
        arrays = {f"now{place}": np.array(variable) for place, variable in enumerate(_variables(self.model))}
        arrays |= {f"best{place}": weight for place, weight in enumerate(self.best)}
        with files.atomic_file(self.path) as temporary:
            np.savez(temporary, allow_pickle=False, facts=np.array(json.dumps(facts)), **arrays)


def _variables(model: keras.Model) -> list[Any]:
    """Return weights and random states of the model, and the optimizer's slots, rate and step."""
    return [*model.variables, *model.optimizer.variables]


def _callback_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the state of a callback: its numbers and its snapshots."""
    numbers: dict[str, Any] = {}
    for name, value in vars(callback).items():
        plain = value.item() if isinstance(value, np.generic) else value
        if name == "snapshots" or plain is None or (isinstance(plain, bool | int | float) and math.isfinite(plain)):
            numbers[name] = plain
    return numbers
