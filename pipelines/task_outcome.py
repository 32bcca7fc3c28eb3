"""The result of one task in a run: a row of the last table and of `tiltyard run --json`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from tiltyard.errors import StageError, TiltyardError, from_os_error
from tiltyard.files import Json
from tiltyard.gate.exit_status import exit_status
from tiltyard.gate.next_steps import NextSteps
from tiltyard.gate.verdict import Verdict
from tiltyard.runtime.processes import LOG_LINES


@dataclass
class TaskOutcome:
    """The result of one task: metrics, verdict, or the step that failed."""

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
    next: NextSteps = field(default_factory=NextSteps)  # what to do after a verdict other than PROMOTE
    stand_in: str = ""  # why its data are generated, if they stand in for real files
    log: list[str] = field(default_factory=list)  # the last lines of a step that crashed

    def fail(self, step: str, error: Exception) -> None:
        """Record the error of a step."""
        error = (from_os_error(error) if isinstance(error, OSError) else None) or error
        self.stopped, self.verdict = step, f"stopped at {step}"
        self.error = error.message if isinstance(error, TiltyardError) else f"{type(error).__name__}: {error}"
        self.hint = error.hint if isinstance(error, TiltyardError) else ""
        if isinstance(error, StageError):
            self.log = error.log
        elif not isinstance(error, TiltyardError):
            traceback.print_exception(error)  # into the log of the run
            self.log = "".join(traceback.format_exception(error)).splitlines()[-LOG_LINES:]

    def record_report(self, report: Json) -> None:
        """Record the metrics of an evaluation."""
        self.problem, self.metric, self.version = report["problem"], report["metric"], report["version"]
        self.value, self.baseline = report["metrics"][self.metric], report["baseline"][self.metric]
        self.stand_in = report.get("stand_in", "")

    def record_verdict(self, verdict: Verdict, following: NextSteps) -> None:
        """Record a verdict and what to do next; that the champion was trained again needs no reason."""
        self.verdict, self.next = verdict.shown_verdict, following
        self.reasons = [] if verdict.version == verdict.champion else verdict.reasons

    @property
    def status(self) -> int:
        """The exit status of a command for this verdict."""
        return exit_status([self.verdict])

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return not self.stopped
