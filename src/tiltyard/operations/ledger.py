"""What `tiltyard watch` writes into the ledger of a task, and the retrainings that it reads back from there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tiltyard.operations.facts import Retraining
from tiltyard.operations.state import Pending
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

DONE = "-done"  # ends the id of the line that a retraining ends with


@dataclass(frozen=True)
class Outcome:
    """What became of a retraining: its version, and whether it passed the gate, failed, or found nothing new."""

    reason: str
    version: str = ""
    passed: bool = False
    failed: bool = False
    unchanged: bool = False


def record(workspace: Workspace, task: str, pending: Pending, now: float, figures: dict[str, float]) -> None:
    """Record an action with its reason and figures; after a kill the line may be there already."""
    evidence = {"action": pending.action, "share": pending.share, "figures": figures}
    _record_once(workspace, _line(workspace, task, pending, now, evidence))


def record_end(workspace: Workspace, task: str, pending: Pending, now: float, outcome: Outcome) -> None:
    """Record what became of a retraining, and the seconds that it took."""
    seconds = round(pending.seconds, 3)
    evidence: dict[str, Any] = {"action": pending.action, "retraining": pending.id, "seconds": seconds}
    evidence |= {"failed": outcome.failed, "unchanged": outcome.unchanged}
    line = _line(workspace, task, pending, now, evidence)
    changes = {"id": f"{pending.id}{DONE}", "reasons": [f"retrained: {outcome.reason}"]}
    _record_once(workspace, line.model_copy(update={**changes, "version": outcome.version or pending.champion}))


def _line(workspace: Workspace, task: str, pending: Pending, now: float, evidence: dict[str, Any]) -> Decision:
    """Return the line of an action."""
    return Decision(
        id=pending.id,
        time=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        task=task,
        verdict="OPERATE",
        version=pending.version or pending.champion,
        champion=pending.champion,
        reasons=[f"{pending.action}: {pending.reason}"],
        evidence={"operate": evidence},
        **provenance(workspace),
    )


def _record_once(workspace: Workspace, decision: Decision) -> None:
    registry = Registry(workspace)
    with registry.lock(decision.task):
        registry.repair(decision.task)
        if all(one.id != decision.id for one in registry.decisions(decision.task)):
            registry.record(decision)


def retrainings(decisions: Iterable[Decision], pending: Pending | None) -> tuple[Retraining, ...]:
    """Return the retrainings in the ledger, oldest first, with the seconds of the one in progress."""
    steps = [(decision, step) for decision in decisions if (step := operate_evidence(decision))]
    ends = {step["retraining"]: step for _, step in steps if "retraining" in step}
    running = {pending.id: pending.seconds} if pending else {}
    return tuple(
        Retraining(
            seconds_of(decision.time),
            float(ends.get(decision.id, {}).get("seconds", running.get(decision.id, 0.0))),
            failed=bool(ends.get(decision.id, {}).get("failed", False)),
            unchanged=bool(ends.get(decision.id, {}).get("unchanged", False)),
        )
        for decision, step in steps
        if step.get("action") == "retrain" and "retraining" not in step
    )


def operate_evidence(decision: Decision) -> dict[str, Any]:
    """Return the evidence of a step of `tiltyard watch`; empty for other decisions, and for what is not readable."""
    found = decision.evidence.get("operate") if decision.verdict == "OPERATE" else None
    return found if isinstance(found, dict) else {}


def failed_trials(decisions: Iterable[Decision]) -> set[str]:
    """Return the versions whose trial ended without a promotion."""
    return {decision.version for decision in decisions if operate_evidence(decision).get("action") == "end"}


def seconds_of(time: str) -> float:
    """Return an ISO time in seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()
