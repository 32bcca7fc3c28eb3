"""A verdict on a challenger, and its conversion to a decision in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from tiltyard.files import Json
from tiltyard.gate.checks.base import Outcome
from tiltyard.registry.decision import Decision

Word = Literal["PROMOTE", "HOLD", "REJECT"]


@dataclass(frozen=True)
class Verdict:
    """PROMOTE, HOLD or REJECT for a version, with reasons and outcomes."""

    task: str
    verdict: Word
    version: str
    champion: str | None  # the version it was judged against
    reasons: list[str]
    outcomes: list[Outcome] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    recorded: bool = False  # already in the ledger, or nothing new

    @property
    def shown_verdict(self) -> str:
        """Return the verdict to show: "unchanged" if the version is already the champion."""
        return "unchanged" if self.version == self.champion else self.verdict

    def fails_only(self, code: str) -> bool:
        """Return whether this check is the only one that failed."""
        return [outcome.code for outcome in self.outcomes if outcome.state == "failed"] == [code]

    def decision(self, parameters: Json, report: Json, origin: Json) -> Decision:
        """Convert it to a decision of the ledger; `parameters` are all sections of the task file."""
        measured = {name: report[name] for name in ("metric", "metrics", "baseline", "data", "test")}
        judged = {name: getattr(self, name) for name in ("verdict", "version", "champion", "reasons", "evidence")}
        return Decision(
            task=self.task,
            checks=[asdict(outcome) for outcome in self.outcomes],
            fingerprint=self.fingerprint,
            parameters=parameters,
            seed=parameters["train"]["seed"],
            **judged,
            **measured,
            **origin,
        )

    @classmethod
    def earlier(cls, decision: Decision) -> Verdict:
        """Read a verdict from a decision of the ledger."""
        names = ("task", "verdict", "version", "champion", "reasons", "evidence", "fingerprint")
        field_names = [field.name for field in fields(Outcome)]  # a later release may have written more
        outcomes = [Outcome(**{key: check[key] for key in field_names if key in check}) for check in decision.checks]
        return cls(**{name: getattr(decision, name) for name in names}, outcomes=outcomes, recorded=True)


def decide(outcomes: Sequence[Outcome]) -> Word:
    """Return the verdict: the most severe failure decides."""
    failed = {outcome.severity for outcome in outcomes if outcome.state == "failed"}
    return "REJECT" if "REJECT" in failed else "HOLD" if failed else "PROMOTE"
