"""The registry: which version of a task is champion, and every decision that led there.

The pointer is written first and is the truth; it holds the whole decision, so that a kill between pointer and ledger
loses nothing: the ledger reads as if the line were there, and the next change writes it.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tiltyard import files
from tiltyard.decision import Decision, provenance
from tiltyard.errors import RegistryError
from tiltyard.ledger import Ledger
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Champion:
    """The version of a task that is in production, and the decision that put it there."""

    task: str
    version: str
    decision: Decision


class Registry:
    """Champions and ledgers of a project; reading changes nothing, changes hold the task's lock."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def champion(self, task: str) -> Champion | None:
        """Read the pointer."""
        path = self.workspace.champion(task)
        if not path.is_file():
            return None
        try:
            decision = Decision.model_validate(files.read_json(path)["decision"])
        except (ValidationError, ValueError, KeyError, TypeError):
            raise RegistryError(
                f"{path} is no pointer to a champion: expected task, version and decision",
                hint=f"go back to the last whole one: git checkout -- {path}",
            ) from None
        return Champion(task, decision.version, decision)

    def package(self, task: str, version: str) -> Path:
        """Give the folder of a packaged version; in a fresh clone only DVC's pointer to it is here."""
        folder = self.workspace.package(task, version)
        if not folder.is_dir():
            place = folder.relative_to(self.workspace.root)
            kept = folder.with_name(f"{version}.dvc").is_file()
            raise RegistryError(
                f"the package of {task} {version} is not here: expected {place}",
                hint=f"bring it from the remote: dvc pull {place}" if kept else "",
            )
        return folder

    def decisions(self, task: str) -> list[Decision]:
        """Give all decisions, oldest first; one that only the pointer knows yet is among them."""
        told = Ledger(self.workspace.ledger(task)).decisions()
        champion = self.champion(task)
        missing = champion and champion.decision.id not in {decision.id for decision in told}
        return [*told, champion.decision] if champion and missing else told

    @contextlib.contextmanager
    def lock(self, task: str) -> Iterator[None]:
        """Wait until no one else may change the champion; the system frees the lock of a dead process."""
        path = self.workspace.lock(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def record(self, decision: Decision) -> None:
        """Write a decision that leaves the champion in place; the caller holds the lock."""
        self.repair(decision.task)
        Ledger(self.workspace.ledger(decision.task)).append(decision)

    def promote(self, decision: Decision) -> None:
        """Make the version champion; the caller holds the lock."""
        self.repair(decision.task)
        self.workspace.traffic(decision.task).unlink(missing_ok=True)  # a challenge is against one champion
        content = {"task": decision.task, "version": decision.version, "decision": decision.model_dump(mode="json")}
        files.write_json(self.workspace.champion(decision.task), content)
        Ledger(self.workspace.ledger(decision.task)).append(decision)

    def repair(self, task: str) -> None:
        """Finish what a kill left: drop half-written files and a torn line, write the line only the pointer knows."""
        for path in (self.workspace.champion(task), self.workspace.ledger(task)):
            for left in path.parent.glob(f".{path.stem}-*{path.suffix}"):
                left.unlink()
        ledger = Ledger(self.workspace.ledger(task))
        ledger.mend()
        told = len(ledger.decisions())
        for decision in self.decisions(task)[told:]:
            ledger.append(decision)

    def rollback(self, task: str) -> Decision:
        """Bring back the champion before this one, if its package is still there."""
        with self.lock(task):
            self.repair(task)
            champion = self.champion(task)
            if champion is None:
                raise RegistryError(f"no champion of {task} to roll back", hint=f"make one: tiltyard run {task}")
            earlier = self._earlier(champion)
            decision = _rollback(champion, earlier, provenance(self.workspace))
            self.promote(decision)
            return decision

    def _earlier(self, champion: Champion) -> Decision:
        """Find the decision that made the version before this one champion."""
        before = [decision for decision in reign(self.decisions(champion.task)) if decision.version != champion.version]
        for decision in reversed(before):
            if self.workspace.package(champion.task, decision.version).is_dir():
                return decision
        known = ", ".join(decision.version for decision in before)
        gone = f"the packages of {known} are not here" if known else "it is the first"
        raise RegistryError(
            f"no champion of {champion.task} before {champion.version} to roll back to: {gone}",
            hint="bring them from the remote: dvc pull" if known else "",
        )


def reign(decisions: list[Decision]) -> list[Decision]:
    """Give the champions up to the present one, without those that were rolled back."""
    stack: list[Decision] = []
    for decision in decisions:
        if decision.verdict == "ROLLBACK":
            while stack and stack[-1].version != decision.version:
                stack.pop()
        elif decision.verdict == "PROMOTE":
            stack.append(decision)
    return stack


def withdrawn(decisions: list[Decision]) -> dict[str, Decision]:
    """Give the versions that were rolled back and not promoted since, each with its rollback."""
    found: dict[str, Decision] = {}
    for decision in decisions:
        if decision.verdict == "ROLLBACK" and decision.champion:
            found[decision.champion] = decision
        if decision.verdict in {"PROMOTE", "ROLLBACK"}:
            found.pop(decision.version, None)
    return found


def _rollback(champion: Champion, earlier: Decision, origin: dict[str, Any]) -> Decision:
    """Decide to go back; the figures are those of the version that returns."""
    kept = earlier.model_dump(
        exclude={"id", "time", "verdict", "champion", "reasons", "checks", "evidence"} | set(origin)
    )
    reason = f"rolled back from {champion.version} to {earlier.version} by {origin['who']}"
    return Decision(**{**kept, **origin}, verdict="ROLLBACK", champion=champion.version, reasons=[reason])
