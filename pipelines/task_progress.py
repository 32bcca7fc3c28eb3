"""The state of one task within a run: its steps so far, the epochs of its training, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Epochs:
    """How far a training is, as it notes itself in a file."""

    epoch: int
    epochs: int
    monitor: str = ""
    best: float | None = None
    part: str = ""  # one fit among several: a fold, or a member of an ensemble

    def best_text(self) -> str:
        """Return the best figure so far, in words."""
        return f"best {self.monitor} {self.best:.4g}" if self.best is not None else ""


@dataclass
class TaskProgress:
    """What a table shows of one task; times are those of time.monotonic."""

    name: str
    began: float | None = None
    ended: float | None = None
    step: str = ""  # the one that runs
    step_began: float = 0.0
    steps: dict[str, str] = field(default_factory=dict)  # those that ended, and how
    seconds: dict[str, float] = field(default_factory=dict)
    note: str = ""  # what the step says: bytes so far, or who is waited for
    stopped: str = ""  # the step that failed
    result: str = ""
    training: Epochs | None = None
    _first: tuple[str, int, float] | None = None  # the first epoch that was seen, of which part, and when

    def begin(self, step: str, now: float) -> None:
        """Note the step that begins."""
        self.began = now if self.began is None else self.began
        self.step, self.step_began, self.note = step, now, ""
        self.training = self._first = None

    def end(self, step: str, how: str, now: float) -> None:
        """Note how a step ended."""
        self.steps[step], self.seconds[step] = how, now - self.step_began
        self.step, self.note, self.result = "", "", how

    def finish(self, now: float, stopped: str = "") -> None:
        """Note the end of the task."""
        self.ended, self.stopped, self.step, self.note = now, stopped, "", ""

    def look(self, state: Path, now: float) -> None:
        """Read how far training is; a file from before this step is of a run that was killed."""
        since = time.time() - (now - self.step_began)
        self.training = read(state, since) or self.training
        if self.training and (not self._first or self._first[0] != self.training.part):
            self._first = (self.training.part, self.training.epoch, now)

    def training_left(self, now: float) -> float | None:
        """Return the seconds until the last epoch at the pace so far; early stopping may end it before."""
        if not (self.training and self._first) or self.training.epoch <= self._first[1]:
            return None
        pace = (now - self._first[2]) / (self.training.epoch - self._first[1])
        return pace * (self.training.epochs - self.training.epoch)


def read(state: Path, since: float) -> Epochs | None:
    """Read the newest note of a training under a folder, if it was written since then."""
    newest, when = None, since - 1  # clocks of file systems are coarse
    with contextlib.suppress(OSError):
        for folder in [state, *(Path(entry) for entry in os.scandir(state) if entry.is_dir())]:
            path = folder / "progress.json"
            with contextlib.suppress(OSError):
                if (written := path.stat().st_mtime) > when:
                    newest, when = path, written
    if newest is None:
        return None
    try:
        at = json.loads(newest.read_bytes())
        part = "" if newest.parent == state else newest.parent.name
        return Epochs(at["epoch"], at["epochs"], at.get("monitor", ""), at.get("best"), part)
    except (OSError, ValueError, KeyError, AttributeError):
        return None
