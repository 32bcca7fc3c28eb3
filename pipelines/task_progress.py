"""Progress of one task in a run: its steps, the epochs of its training, and its result."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Epochs:
    """Progress of a training, read from its file progress.json."""

    epoch: int
    epochs: int
    monitor: str = ""
    best: float | None = None
    part: str = ""  # the fold or the member of an ensemble, if there are several

    def best_text(self) -> str:
        """Return the name and value of the best epoch so far, or an empty string."""
        return f"best {self.monitor} {self.best:.4g}" if self.best is not None else ""


@dataclass
class TaskProgress:
    """Progress of one task; times are those of time.monotonic."""

    name: str
    began: float | None = None
    ended: float | None = None
    step: str = ""  # the step that runs
    step_began: float = 0.0
    steps: dict[str, str] = field(default_factory=dict)  # state of each step that ended
    seconds: dict[str, float] = field(default_factory=dict)
    note: str = ""  # message of the step: bytes so far, or the process that it waits for
    stopped: str = ""  # the step that failed
    result: str = ""
    training: Epochs | None = None
    _first: tuple[str, int, float] | None = None  # part, epoch and time when the training was first observed

    def begin(self, step: str, now: float) -> None:
        """Record that a step begins."""
        self.began = now if self.began is None else self.began
        self.step, self.step_began, self.note = step, now, ""
        self.training = self._first = None

    def end(self, step: str, state: str, now: float) -> None:
        """Record that a step succeeded, and its state."""
        self.steps[step], self.seconds[step] = state, now - self.step_began
        self.step, self.note, self.result = "", "", state

    def finish(self, now: float, stopped: str = "") -> None:
        """Record the end of the task."""
        self.ended, self.stopped, self.step, self.note = now, stopped, "", ""

    def update_training(self, state: Path, now: float) -> None:
        """Read the progress of the training; ignore a file from before this step, left by a killed run."""
        since = time.time() - (now - self.step_began)
        self.training = read_epochs(state, since) or self.training
        if self.training and (not self._first or self._first[0] != self.training.part):
            self._first = (self.training.part, self.training.epoch, now)

    def training_left(self, now: float) -> float | None:
        """Return the seconds until the last epoch at the pace so far; early stopping may end it sooner."""
        if not (self.training and self._first) or self.training.epoch <= self._first[1]:
            return None
        pace = (now - self._first[2]) / (self.training.epoch - self._first[1])
        return pace * (self.training.epochs - self.training.epoch)


def read_epochs(state: Path, since: float) -> Epochs | None:
    """Read the newest progress.json in a folder or its subfolders, if it was written since then."""
    newest, when = None, since - 1  # clocks of file systems are imprecise
    with contextlib.suppress(OSError):
        for folder in [state, *(Path(entry) for entry in os.scandir(state) if entry.is_dir())]:
            path = folder / "progress.json"
            with contextlib.suppress(OSError):
                if (written := path.stat().st_mtime) > when:
                    newest, when = path, written
    if newest is None:
        return None
    try:
        content = json.loads(newest.read_bytes())
        part = "" if newest.parent == state else newest.parent.name
        return Epochs(content["epoch"], content["epochs"], content.get("monitor", ""), content.get("best"), part)
    except (OSError, ValueError, KeyError, AttributeError):
        return None
