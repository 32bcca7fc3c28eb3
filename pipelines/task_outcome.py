"""The type of a row: what a run says about one task in its last table."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from tiltyard.errors import StageError, TiltyardError, of_disk
from tiltyard.gate.next_steps import STATUS, NextSteps
from tiltyard.processes import LAST


@dataclass
class TaskOutcome:
    """How far a task came, and how it was judged."""

    task: str
    problem: str = ""
    metric: str = ""
    baseline: float | None = None
    value: float | None = None
    verdict: str = ""
    reasons: list[str] = field(default_factory=list)
    version: str = ""
    seconds: float = 0.0
    stopped: str = ""  # the step that failed
    error: str = ""
    hint: str = ""
    next: NextSteps = field(default_factory=NextSteps)  # after a verdict that is no promotion
    log: list[str] = field(default_factory=list)  # the last lines of a step that crashed

    def stop(self, step: str, error: Exception) -> None:
        """Note what a step failed with."""
        error = (of_disk(error) if isinstance(error, OSError) else None) or error
        self.stopped, self.verdict = step, f"stopped at {step}"
        self.error = error.message if isinstance(error, TiltyardError) else f"{type(error).__name__}: {error}"
        self.hint = error.hint if isinstance(error, TiltyardError) else ""
        if isinstance(error, StageError):
            self.log = error.log
        elif not isinstance(error, TiltyardError):
            traceback.print_exception(error)  # into the log of the run
            self.log = "".join(traceback.format_exception(error)).splitlines()[-LAST:]

    @property
    def status(self) -> int:
        """What a command exits with after this verdict."""
        return STATUS.get(self.verdict, 0)

    @property
    def ok(self) -> bool:
        """Whether it went the whole road."""
        return not self.stopped
