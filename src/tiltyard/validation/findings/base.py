"""Base class of findings: possible problems of data that `tiltyard check` reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from tiltyard.errors import MAX_LISTED, join_first
from tiltyard.validation.findings._dataset import CheckedData

__all__ = [
    "MAX_LISTED",
    "MIN_COPIES",
    "MIN_ROWS",
    "RANKS",
    "Finding",
    "Found",
    "Severity",
    "join_first",
    "ranked",
    "removal_advice",
    "share",
]

# critical: the pipeline would stop, or metrics would be misleading. warning: should be examined. note: for information.
Severity = Literal["critical", "warning", "note"]
RANKS: tuple[Severity, ...] = ("critical", "warning", "note")
MIN_ROWS = 20  # in fewer rows, a pattern may be chance
MIN_COPIES = 3  # fewer similar rows may be chance


@dataclass(frozen=True)
class Found:
    """One finding: severity, column, a sentence with the observed and the expected, and what to do."""

    code: str
    severity: Severity
    column: str
    text: str
    hint: str


class Finding(ABC):
    """Base class of findings; each plug-in in findings/ implements one."""

    code: ClassVar[str]  # the name of the module
    title: ClassVar[str]
    serving: ClassVar[bool] = False  # whether it also applies to new data, which have no target

    @abstractmethod
    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Yield the findings; none if the check does not apply."""

    def found(self, severity: Severity, column: str, text: str, hint: str) -> Found:
        """Return a finding with this code."""
        return Found(self.code, severity, column, text, hint)


def removal_advice(subject: CheckedData, name: str) -> str:
    """Return the advice to remove a column, or to replace it if it is the only one."""
    if len(subject.task.columns) > 1:
        return f"remove {name} from `columns:`"
    return f"learn from other columns: {name} is the only one under `columns:`"


def ranked(findings: Iterable[Found]) -> list[Found]:
    """Sort by severity, the most severe first; keep the order otherwise."""
    return sorted(findings, key=lambda finding: RANKS.index(finding.severity))


def share(count: int, total: int) -> str:
    """Return a count with its share as text."""
    fraction = count / max(1, total)
    return (
        f"{count:,} of {total:,} ({fraction:.2g})"
        if 0 < fraction < 0.001
        else f"{count:,} of {total:,} ({fraction:.1%})"
    )
