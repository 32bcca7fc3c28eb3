"""The registry: which version of a task is champion, and every decision that led there.

The pointer is written first and is the truth; it holds the whole line, so that a kill between pointer and ledger loses
nothing: the ledger reads as if the line were there, and the next change writes it. Once the line is in the ledger, the
pointer is written again with its hash, and so after every other decision: what is taken out later is found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.registry import manifest, pointer, signing
from tiltyard.registry.decision import Decision, mistake
from tiltyard.registry.ledger import CHAIN, SIGNATURE, SIGNER, Ledger
from tiltyard.registry.provenance import provenance
from tiltyard.workspace import Workspace

CROWNING = {"PROMOTE", "ROLLBACK"}  # verdicts that make a version champion


@dataclass(frozen=True)
class Champion:
    """The version of a task that is in production, and the decision that put it there."""

    task: str
    version: str
    decision: Decision


@dataclass(frozen=True)
class Entry:
    """A line of the ledger, and who signed it: `problem` says what is wrong with the signature."""

    place: int
    verdict: str
    version: str
    signer: str
    problem: str


class Registry:
    """Champions and ledgers of a project; reading changes nothing, changes hold the task's lock."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def champion(self, task: str) -> Champion | None:
        """Read the pointer."""
        path = self.workspace.champion(task)
        if not path.is_file():
            return None
        decision = _crowning(path, pointer.read(path))
        return Champion(task, decision.version, decision)

    def package(self, task: str, version: str) -> Path:
        """Return the folder of a packaged version; in a fresh clone only DVC's pointer to it is here."""
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
        """Return all decisions, oldest first; one that only the pointer knows yet is among them."""
        told = Ledger(self.workspace.ledger(task)).decisions()
        champion = self.champion(task)
        missing = champion and champion.decision.id not in {decision.id for decision in told}
        return [*told, champion.decision] if champion and missing else told

    @contextlib.contextmanager
    def lock(self, task: str) -> Iterator[None]:
        """Wait until no one else may change the champion; the system frees the lock of a dead process."""
        with files.locked(self.workspace.lock(task)):
            yield

    def record(self, decision: Decision) -> None:
        """Write a decision that leaves the champion in place; the caller holds the lock."""
        self.repair(decision.task)
        ledger, recorded = Ledger(self.workspace.ledger(decision.task)), self._recorded(decision.task)
        line = ledger.next_line(decision, signing.signer(self.workspace))
        ledger.append(line)
        self._note(decision.task, [*recorded, line[CHAIN]])

    def promote(self, decision: Decision) -> None:
        """Make the version champion; the caller holds the lock."""
        self.repair(decision.task)
        ledger, recorded = Ledger(self.workspace.ledger(decision.task)), self._recorded(decision.task)
        line = ledger.next_line(decision, signing.signer(self.workspace))
        self.workspace.traffic(decision.task).unlink(missing_ok=True)  # a challenge is against one champion
        content = pointer.content(line, recorded, self.workspace.package(decision.task, decision.version))
        files.write_json(self.workspace.champion(decision.task), content)
        ledger.append(line)
        self._note(decision.task, [*recorded, line[CHAIN]])

    def repair(self, task: str) -> None:
        """Finish what a kill left: drop half-written files and a torn line, write the line only the pointer knows."""
        for path in (self.workspace.champion(task), self.workspace.ledger(task)):
            files.remove_abandoned(path.parent)
        ledger, found = Ledger(self.workspace.ledger(task)), self._pointer(task)
        ledger.mend()
        self._write_missing(ledger, found)
        ledger.complete_head()
        hashes = ledger.hashes()
        if found and found.hashes is not None and found.hashes == hashes[:-1]:
            self._note(task, hashes)

    def _write_missing(self, ledger: Ledger, found: pointer.Pointer | None) -> None:
        """Write the line that only the pointer has, if it is the one that follows."""
        if found is None or found.decision.get("id") in {line.get("id") for line in ledger.contents()}:
            return
        if ledger.follows(found.decision):
            ledger.append(found.decision)
        elif found.hashes is None:  # from before pointers held whole lines
            decision = _crowning(self.workspace.champion(ledger.path.stem), found)
            ledger.append(ledger.next_line(decision, signing.signer(self.workspace)))

    def faults(self, task: str) -> list[str]:
        """Return how ledger, head and pointer differ from what was written, or contradict each other."""
        ledger, found = Ledger(self.workspace.ledger(task)), self._pointer(task)
        faults = ledger.faults()
        if found is None:
            return faults
        faults += ledger.unlike(found.hashes)
        try:
            decisions, champion = ledger.decisions(), self.champion(task)
        except RegistryError as error:
            return [*faults, error.message]
        return faults + (_disagreement(ledger, found, decisions, champion.decision) if champion else [])

    def entries(self, task: str) -> list[Entry]:
        """Return, for every line, who signed it."""
        lines, champion, found = Ledger(self.workspace.ledger(task)).contents(), self._pointer(task), []
        if champion and champion.decision.get("id") not in {line.get("id") for line in lines}:
            lines = [*lines, champion.decision]  # an interrupted promotion, if it is one, has not written it yet
        for place, line in enumerate(lines, 1):
            signer, signature = str(line.get(SIGNER, "")), str(line.get(SIGNATURE, ""))
            problem = ""
            if signer and signature:
                problem = signing.problem(self.workspace, signer, str(line.get(CHAIN, "")), signature)
            elif signer or signature:
                problem = f"the signature of {signer:.80} was taken out" if signer else "it does not say whose it is"
            verdict, version = (str(line.get(key, "")) for key in ("verdict", "version"))
            found.append(Entry(place, verdict, version, signer, problem))
        return found

    def has_hashes(self, task: str) -> bool:
        """Return whether the pointer holds the hashes of the ledger; one of before they were recorded does not."""
        found = self._pointer(task)
        return found is None or found.hashes is not None

    def note_files(self, task: str) -> None:
        """Record the package's files anew, when it was made once more: its card names the machine and the time."""
        if (found := self._pointer(task)) and manifest.hashes(folder := self.workspace.package(task, found.version)):
            path, digest = self.workspace.champion(task), manifest.digest(folder)
            if digest != found.files:
                files.write_json(path, {**files.read_json(path), "files": digest})

    def _pointer(self, task: str) -> pointer.Pointer | None:
        path = self.workspace.champion(task)
        return pointer.read(path) if path.is_file() else None

    def _recorded(self, task: str) -> list[str]:
        """Return the hashes to which that of the next line is added.

        They are those of the pointer, right or wrong: what does not fit stays to be found. One that was written before
        hashes were recorded takes those of the ledger.
        """
        ledger, found = Ledger(self.workspace.ledger(task)), self._pointer(task)
        if found and found.hashes is not None:
            return found.hashes
        return [] if found and ledger.unlike(None) else ledger.hashes()

    def _note(self, task: str, hashes: list[str]) -> None:
        """Write the hashes of all lines into the pointer, if there is one."""
        path = self.workspace.champion(task)
        if path.is_file():
            files.write_json(path, {**files.read_json(path), "ledger": {"hashes": hashes}})

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
        before = [
            decision
            for decision in champion_history(self.decisions(champion.task))
            if decision.version != champion.version
        ]
        for decision in reversed(before):
            if self.workspace.package(champion.task, decision.version).is_dir():
                return decision
        known = ", ".join(decision.version for decision in before)
        gone = f"the packages of {known} are not here" if known else "it is the first"
        raise RegistryError(
            f"no champion of {champion.task} before {champion.version} to roll back to: {gone}",
            hint="bring them from the remote: dvc pull" if known else "",
        )


def _crowning(path: Path, found: pointer.Pointer) -> Decision:
    """Return the decision in a pointer."""
    try:
        return Decision.model_validate(found.decision)
    except ValidationError as error:
        raise RegistryError(
            f"{path} is no pointer to a champion: {pointer.EXPECTED}; decision.{mistake(error)}",
            hint=f"go back to the last whole one: git checkout -- {path}",
        ) from None


def _disagreement(ledger: Ledger, found: pointer.Pointer, decisions: list[Decision], champion: Decision) -> list[str]:
    """Compare the decision in the pointer with the ledger, which a kill may have left without its line."""
    told = {decision.id: decision for decision in decisions}
    if champion.id not in told:
        under_way = found.hashes is None or (found.hashes == ledger.hashes() and ledger.follows(found.decision))
        return [] if under_way else ["the decision in the pointer is in no line of the ledger"]
    if told[champion.id] != champion:
        return ["the pointer says otherwise than the ledger"]
    last = [decision for decision in decisions if decision.verdict in CROWNING][-1:]
    if last and last[0].id != champion.id:
        return [f"the pointer names {champion.version}; the ledger made {last[0].version} champion after it"]
    return []


def champion_history(decisions: list[Decision]) -> list[Decision]:
    """Return the champions up to the present one, without those that were rolled back."""
    stack: list[Decision] = []
    for decision in decisions:
        if decision.verdict == "ROLLBACK":
            while stack and stack[-1].version != decision.version:
                stack.pop()
        elif decision.verdict == "PROMOTE":
            stack.append(decision)
    return stack


def rolled_back(decisions: list[Decision]) -> dict[str, Decision]:
    """Return the versions that were rolled back and not promoted since, each with its rollback."""
    found: dict[str, Decision] = {}
    for decision in decisions:
        if decision.verdict == "ROLLBACK" and decision.champion:
            found[decision.champion] = decision
        if decision.verdict in {"PROMOTE", "ROLLBACK"}:
            found.pop(decision.version, None)
    return found


def _rollback(champion: Champion, earlier: Decision, origin: dict[str, Any]) -> Decision:
    """Decide to go back; the figures are those of the version that returns."""
    evidence = {name: earlier.evidence[name] for name in ("package", "code") if name in earlier.evidence}
    kept = earlier.model_dump(
        exclude={"id", "time", "verdict", "champion", "reasons", "checks", "evidence"} | set(origin)
    )
    reason = f"rolled back from {champion.version} to {earlier.version} by {origin['who']}"
    return Decision(
        **{**kept, **origin}, verdict="ROLLBACK", champion=champion.version, reasons=[reason], evidence=evidence
    )
