"""The registry: the champion of each task, and every decision that led to it.

A promotion writes the pointer first. It holds the whole ledger line, so that a kill before the ledger is written loses
nothing: decisions() includes that line, and the next change writes it. After each ledger write the pointer gets the new
hash, so that a line that is removed later is detected.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.registry import manifest, pointer, signing
from tiltyard.registry.decision import Decision, first_error
from tiltyard.registry.ledger import CHAIN, SIGNATURE, SIGNER, Ledger, refuse_newer
from tiltyard.workspace import Workspace

CHAMPION_VERDICTS = {"PROMOTE", "ROLLBACK"}  # verdicts that make a version champion
CHALLENGE_VERDICTS = {"CHALLENGE", "END", *CHAMPION_VERDICTS}  # each of them ends an earlier rollout


@dataclass(frozen=True)
class Champion:
    """The version of a task that is in production, and the decision that put it there."""

    task: str
    version: str
    decision: Decision


@dataclass(frozen=True)
class Entry:
    """A ledger line and its signer; `fault` says what is wrong with the signature."""

    place: int
    verdict: str
    version: str
    signer: str
    fault: str


class Registry:
    """Champions and ledgers of a project. Reads change nothing; changes hold the task's lock."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def champion(self, task: str) -> Champion | None:
        """Return the champion from the pointer."""
        path = self.workspace.champion(task)
        if not path.is_file():
            return None
        decision = _pointer_decision(path, pointer.read(path))
        return Champion(task, decision.version, decision)

    def package(self, task: str, version: str) -> Path:
        """Return the folder of a packaged version; a fresh clone has only DVC's pointer to it."""
        folder = self.workspace.package(task, version)
        if not folder.is_dir():
            place = folder.relative_to(self.workspace.root)
            tracked = folder.with_name(f"{version}.dvc").is_file()
            raise RegistryError(
                f"the package of {task} {version} is not here: expected {place}",
                hint=f"get it from the remote: dvc pull {place}" if tracked else "",
            )
        return folder

    def decisions(self, task: str) -> list[Decision]:
        """Return all decisions, oldest first, including one that only the pointer holds yet."""
        recorded_decisions = Ledger(self.workspace.ledger(task)).decisions()
        champion = self.champion(task)
        missing = champion and champion.decision.id not in {decision.id for decision in recorded_decisions}
        return [*recorded_decisions, champion.decision] if champion and missing else recorded_decisions

    @contextlib.contextmanager
    def lock(self, task: str) -> Iterator[None]:
        """Hold the task's lock, which serializes changes; the operating system frees it when a process dies."""
        with files.locked(self.workspace.lock(task)):
            yield

    def record(self, decision: Decision) -> None:
        """Record a decision that does not change the champion; the caller holds the lock."""
        self.repair(decision.task)
        ledger, recorded = Ledger(self.workspace.ledger(decision.task)), self._recorded_hashes(decision.task)
        line = ledger.next_line(decision, signing.find_signer(self.workspace))
        ledger.append(line)
        self._write_hashes(decision.task, [*recorded, line[CHAIN]])

    def promote(self, decision: Decision) -> None:
        """Make the version champion; the caller holds the lock."""
        self.repair(decision.task)
        ledger, recorded = Ledger(self.workspace.ledger(decision.task)), self._recorded_hashes(decision.task)
        line = ledger.next_line(decision, signing.find_signer(self.workspace))
        self.workspace.traffic(decision.task).unlink(missing_ok=True)  # a rollout compares with one champion
        package = self.workspace.package(decision.task, decision.version)
        pointer.write(self.workspace.champion(decision.task), line, recorded, package)
        ledger.append(line)
        self._write_hashes(decision.task, [*recorded, line[CHAIN]])

    def repair(self, task: str) -> None:
        """Recover from a kill: remove partial files and a torn line, write the line that only the pointer holds."""
        for path in (self.workspace.champion(task), self.workspace.ledger(task)):
            files.remove_abandoned(path.parent)
        ledger, content = Ledger(self.workspace.ledger(task)), self._read_pointer(task)
        ledger.repair_last_line()
        self._write_missing(ledger, content)
        ledger.complete_head()
        hashes = ledger.hashes()
        if content and content.hashes is not None and content.hashes == hashes[:-1]:
            self._write_hashes(task, hashes)

    def _write_missing(self, ledger: Ledger, content: pointer.Pointer | None) -> None:
        """Write the line that only the pointer holds, if it continues the ledger."""
        if content is None or content.decision.get("id") in {line.get("id") for line in ledger.contents()}:
            return
        if ledger.follows(content.decision):
            ledger.append(content.decision)
        elif content.hashes is None:  # from before pointers held whole lines
            task = ledger.path.stem
            decision, recorded = _pointer_decision(self.workspace.champion(task), content), self._recorded_hashes(task)
            line = ledger.next_line(decision, signing.find_signer(self.workspace))
            ledger.append(line)
            self._write_hashes(task, [*recorded, line[CHAIN]])

    def faults(self, task: str) -> list[str]:
        """Return how ledger, head and pointer were changed or contradict each other."""
        ledger, content = Ledger(self.workspace.ledger(task)), self._read_pointer(task)
        faults = ledger.faults()
        if content is None:
            return faults
        faults += ledger.pointer_faults(content.hashes)
        try:
            decisions, champion = ledger.decisions(), self.champion(task)
        except RegistryError as error:
            return [*faults, error.message]
        return faults + (_contradictions(ledger, content, decisions, champion.decision) if champion else [])

    def entries(self, task: str) -> list[Entry]:
        """Return each line with its signer."""
        lines, champion, entries = Ledger(self.workspace.ledger(task)).contents(), self._read_pointer(task), []
        if champion and champion.decision.get("id") not in {line.get("id") for line in lines}:
            lines = [*lines, champion.decision]  # an interrupted promotion has not written it yet
        for place, line in enumerate(lines, 1):
            signer, signature = str(line.get(SIGNER, "")), str(line.get(SIGNATURE, ""))
            fault = ""
            if signer and signature:
                fault = signing.signature_fault(self.workspace, signer, str(line.get(CHAIN, "")), signature)
            elif signer or signature:
                fault = f"the signature of {signer:.80} was removed" if signer else "the signature has no signer"
            verdict, version = (str(line.get(key, "")) for key in ("verdict", "version"))
            entries.append(Entry(place, verdict, version, signer, fault))
        return entries

    def has_hashes(self, task: str) -> bool:
        """Return whether the pointer holds hashes of the ledger; old pointers do not."""
        content = self._read_pointer(task)
        return content is None or content.hashes is not None

    def record_package_hash(self, task: str) -> None:
        """Record the hash of a package that was built again: its card names the machine and the time."""
        content = self._read_pointer(task)
        if content and manifest.hashes(package := self.workspace.package(task, content.version)):
            pointer.write_package_hash(self.workspace.champion(task), package)

    def _read_pointer(self, task: str) -> pointer.Pointer | None:
        path = self.workspace.champion(task)
        return pointer.read(path) if path.is_file() else None

    def _recorded_hashes(self, task: str) -> list[str]:
        """Return the pointer's hashes, to which that of the next line is added.

        Wrong hashes are kept, so that verify still finds them. An old pointer without hashes takes those of the ledger.
        """
        ledger, content = Ledger(self.workspace.ledger(task)), self._read_pointer(task)
        if content and content.hashes is not None:
            return content.hashes
        return [] if content and ledger.pointer_faults(None) else ledger.hashes()

    def _write_hashes(self, task: str, hashes: list[str]) -> None:
        pointer.write_hashes(self.workspace.champion(task), hashes)


def _pointer_decision(path: Path, content: pointer.Pointer) -> Decision:
    """Return the decision in a pointer."""
    refuse_newer(f"the decision in {path}", content.decision)
    try:
        return Decision.model_validate(content.decision)
    except ValidationError as error:
        raise RegistryError(
            f"{path} is not a champion pointer: {pointer.EXPECTED}; decision.{first_error(error)}",
            hint=f"restore the last valid one: git checkout -- {path}",
        ) from None


def _contradictions(
    ledger: Ledger, content: pointer.Pointer, decisions: list[Decision], champion: Decision
) -> list[str]:
    """Compare the pointer's decision with the ledger, which may lack its line after a kill."""
    recorded_decisions = {decision.id: decision for decision in decisions}
    if champion.id not in recorded_decisions:
        under_way = content.hashes is None or (content.hashes == ledger.hashes() and ledger.follows(content.decision))
        return [] if under_way else ["the decision in the pointer is not in the ledger"]
    if recorded_decisions[champion.id] != champion:
        return ["the pointer's decision differs from the ledger's"]
    last = [decision for decision in decisions if decision.verdict in CHAMPION_VERDICTS][-1:]
    if last and last[0].id != champion.id:
        return [f"the pointer names {champion.version}; the ledger made {last[0].version} champion after it"]
    return []


def champion_history(decisions: list[Decision]) -> list[Decision]:
    """Return the champions up to the current one, without those that were rolled back."""
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
    rollbacks: dict[str, Decision] = {}
    for decision in decisions:
        if decision.verdict == "ROLLBACK" and decision.champion:
            rollbacks[decision.champion] = decision
        if decision.verdict in {"PROMOTE", "ROLLBACK"}:
            rollbacks.pop(decision.version, None)
    return rollbacks
