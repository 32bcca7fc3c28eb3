"""The type of a finding: something about data that a person should know before a model learns from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from tiltyard.errors import NAMED, listed
from tiltyard.validation.findings._dataset import CheckedData

__all__ = [
    "MIN_COPIES",
    "MIN_ROWS",
    "NAMED",
    "RANKS",
    "Finding",
    "Found",
    "Severity",
    "listed",
    "ranked",
    "share",
    "without",
]

# critical: the road would stop, or a good figure would be a lie. warning: worth a look. note: good to know.
Severity = Literal["critical", "warning", "note"]
RANKS: tuple[Severity, ...] = ("critical", "warning", "note")
MIN_ROWS = 20  # of fewer, a pattern may be chance
MIN_COPIES = 3  # of fewer, rows that are alike may be chance


@dataclass(frozen=True)
class Found:
    """What was found: where, in a sentence with what was seen and what was expected, and what to do next."""

    code: str
    severity: Severity
    column: str
    text: str
    hint: str


class Finding(ABC):
    """Something to look for; plug-ins in findings/ are one file each."""

    code: ClassVar[str]  # the file's name
    title: ClassVar[str]  # what it looks for
    serving: ClassVar[bool] = False  # whether it also looks at new data, which have no target

    @abstractmethod
    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Return what was found; nothing where there is nothing, or where it does not apply."""

    def found(self, severity: Severity, column: str, text: str, hint: str) -> Found:
        """Put the code to a sentence."""
        return Found(self.code, severity, column, text, hint)


def without(subject: CheckedData, name: str) -> str:
    """Return the advice to leave a column out, which a task file takes only if others are left."""
    if len(subject.task.columns) > 1:
        return f"remove {name} from `columns:`"
    return f"learn from other columns: {name} is the only one under `columns:`"


def ranked(found: Iterable[Found]) -> list[Found]:
    """Put the worst first; among equals the order stays."""
    return sorted(found, key=lambda one: RANKS.index(one.severity))


def share(part: int, whole: int) -> str:
    """Spell a count with its share; in few rows the share alone would not be much."""
    part_shown = part / max(1, whole)
    return (
        f"{part:,} of {whole:,} ({part_shown:.2g})"
        if 0 < part_shown < 0.001
        else f"{part:,} of {whole:,} ({part_shown:.1%})"
    )
