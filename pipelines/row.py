"""The type of a row: what a run says about one task in its last table."""

from __future__ import annotations

from dataclasses import dataclass, field


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

    @property
    def ok(self) -> bool:
        """Whether it went the whole road."""
        return not self.stopped
