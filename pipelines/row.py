"""The type of a row: what a run says about one task in its last table."""

from __future__ import annotations

from dataclasses import dataclass, field

from tiltyard.errors import TiltyardError
from tiltyard.next_steps import STATUS, NextSteps


@dataclass
class Row:
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

    def stop(self, step: str, error: Exception) -> None:
        """Note what a step failed with."""
        self.stopped, self.verdict = step, f"stopped at {step}"
        self.error = error.message if isinstance(error, TiltyardError) else f"{type(error).__name__}: {error}"
        self.hint = error.hint if isinstance(error, TiltyardError) else ""

    @property
    def status(self) -> int:
        """What a command exits with after this verdict."""
        return STATUS.get(self.verdict, 0)

    @property
    def ok(self) -> bool:
        """Whether it went the whole road."""
        return not self.stopped
