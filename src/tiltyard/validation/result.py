"""The type of a validation: what became of each expectation, as JSON and as sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 10  # rows named for each expectation that failed


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation."""

    expectation: str
    column: str
    severity: str
    success: bool
    arguments: dict[str, Any]
    observed: Any
    unexpected_count: int | None
    unexpected: list[dict[str, Any]]  # the first ten: row (or path) and value

    def sentence(self) -> str:
        """Name the expectation, the column, how many rows, and the first ten of them."""
        arguments = {k: v for k, v in self.arguments.items() if not k.startswith("column")}
        expected = ", ".join(f"{key}={value}" for key, value in arguments.items())
        text = f"{self.column or 'table'}: {self.expectation}" + (f" ({expected})" if expected else "")
        if self.unexpected_count is None:
            return f"{text}: observed {self.observed}"
        rows = "row" if self.unexpected_count == 1 else "rows"
        first = f", the first {SHOWN}" if self.unexpected_count > SHOWN else ""
        return f"{text}: {self.unexpected_count} {rows}{first}: {', '.join(map(_row, self.unexpected))}"


@dataclass(frozen=True)
class Validation:
    """The outcomes of all expectations about one version of a task's raw data."""

    task: str
    rows: int
    outcomes: list[Outcome]
    repairs: list[str] = field(default_factory=list)  # what was read otherwise than it stands in the file

    def failed(self, severity: str) -> list[Outcome]:
        """Return the failed expectations of one severity."""
        return [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == severity]

    def to_json(self) -> dict[str, Any]:
        """Return what result.json holds: nothing in it changes from one run to the next over the same data."""
        counts = {"critical": len(self.failed("critical")), "warning": len(self.failed("warning"))}
        outcomes = [asdict(outcome) for outcome in self.outcomes]
        whole = {"task": self.task, "rows": self.rows, "repairs": self.repairs}
        return {**whole, "failed": counts, "expectations": outcomes}


def _row(found: dict[str, Any]) -> str:
    value = found["value"]
    return f"{found.get('path', found.get('row'))} ({'missing' if value is None else value})"
