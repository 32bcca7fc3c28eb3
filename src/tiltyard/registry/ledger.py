"""The ledger: every decision about a task as one line of JSON, only ever appended to.

Each line holds a hash of itself and of the line before it, and, where there is a key, a signature of that hash. The
head, a file beside it, says how many lines there are; the champion's pointer holds the hash of each.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.files import Json
from tiltyard.registry.decision import Decision, mistake
from tiltyard.registry.signing import Signer

CHAIN = "chain"  # the key of a line's hash
SIGNATURE = "signature"  # of that hash, which covers the name of the signer
SIGNER = "signer"
FORMAT = "format"  # 2: the pointer records the hash of this line
RECORDED = 2


@dataclass(frozen=True)
class Ledger:
    """The file of one task."""

    path: Path

    def decisions(self) -> list[Decision]:
        """Read all whole lines; a last line without its end was torn by a kill, and never counted."""
        return [self._read(line, place) for place, line in enumerate(self.lines(), 1)]

    def next_line(self, decision: Decision, signer: Signer | None = None) -> Json:
        """Return a decision as the line that follows the last one, with its hash and signature."""
        lines = self.lines()
        content = {**decision.model_dump(mode="json"), FORMAT: RECORDED}
        if signer:
            content[SIGNER] = signer.name
        chain = _chain(lines[-1] if lines else b"", content)
        return {**content, CHAIN: chain, **({SIGNATURE: signer.sign(chain)} if signer else {})}

    def append(self, decision: Decision | Json) -> None:
        """Add a decision, or a line that was made of one, in one write, and see it on the disk."""
        self.mend()
        line = self.next_line(decision) if isinstance(decision, Decision) else decision
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number = len(self.lines()) + 1
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, _written(line) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        files.write_text(self.head, f"{number} {line[CHAIN]}\n")

    @property
    def head(self) -> Path:
        """Where it is said how many lines there are, and what the last one's hash is."""
        return self.path.with_suffix(".head")

    def hashes(self) -> list[str]:
        """Return the hash of each line: the one that it holds, or that of its bytes if it holds none."""
        return [_hash(line) for line in self.lines()]

    def contents(self) -> list[Json]:
        """Return each line as it is written, with what a decision has no place for; empty where it is no object."""
        return [_content(line) for line in self.lines()]

    def follows(self, line: Json) -> bool:
        """Return whether a line holds the hash that it must have behind the last one."""
        lines = self.lines()
        content = {key: value for key, value in line.items() if key not in {CHAIN, SIGNATURE}}
        return line.get(CHAIN) == _chain(lines[-1] if lines else b"", content)

    def faults(self) -> list[str]:
        """Return which lines are not as they were written, do not follow what they followed, or are of another task."""
        found, before, chains = [], b"", [""]
        for place, line in enumerate(self.lines(), 1):
            content = _content(line)
            if content.get(FORMAT) == RECORDED and line.strip() != _written(content):
                found.append(f"line {place} of {self.path} means what was written, and its bytes are others")
            if (task := content.get("task", self.path.stem)) != self.path.stem:
                found.append(f"line {place} of {self.path} is about {task!s:.80}: expected {self.path.stem}")
            chains.append(str(content.pop(CHAIN, "")))
            content.pop(SIGNATURE, None)
            if not chains[-1] and (any(chains) or content.get(FORMAT) == RECORDED):
                found.append(
                    f"line {place} of {self.path} was put in: expected the hash of the line before; it has none"
                )
            if chains[-1] and chains[-1] != _chain(before, content):
                found.append(f"line {place} of {self.path} was changed, or what stood before it was")
            before = line
        return found + self._missing(chains)

    def unlike(self, recorded: list[str] | None) -> list[str]:
        """Compare the lines with the hashes in the pointer, which may be one behind after a kill; None: it has none."""
        hashes = self.hashes()
        if recorded is None:
            later = [place for place, line in enumerate(self.contents(), 1) if line.get(FORMAT) == RECORDED]
            if not later:
                return []
            return [f"the pointer holds no hashes of the ledger; it held them when line {later[0]} was written"]
        for place, (one, other) in enumerate(zip(hashes, recorded, strict=False), 1):
            if one != other:
                expected = f"expected {other[:12]}; received {one[:12]}"
                return [f"line {place} of {self.path} is not the one whose hash the pointer holds: {expected}"]
        if len(hashes) < len(recorded):
            return [f"{self.path} has {len(hashes)} lines: expected {len(recorded)}, whose hashes the pointer holds"]
        if len(hashes) > len(recorded) + 1:
            received = f"the pointer holds the hashes of {len(recorded)} lines: expected {len(hashes)}"
            return [f"{received}; it is an older pointer, or something else wrote the ledger"]
        return []

    def _missing(self, chains: list[str]) -> list[str]:
        """Compare the lines with the head, which a kill may have left one behind."""
        if not self.head.is_file():
            return [f"{self.head} is gone: expected the number of lines"] if any(chains) else []
        told, _, chain = self.head.read_text(encoding="utf-8", errors="replace").strip().partition(" ")
        if not told.isdecimal() or int(told) >= len(chains):
            return [f"{self.path} has {len(chains) - 1} lines: expected {told:.20}, the last ones were taken out"]
        good = chains[int(told)] == chain and len(chains) - 1 <= int(told) + 1
        return [] if good else [f"{self.path} does not end as {self.head} says: it was written by something else"]

    def complete_head(self) -> None:
        """Write the head of the last line, if a kill left that of the line before it."""
        hashes = self.hashes()
        before = f"{len(hashes) - 1} {hashes[-2]}" if len(hashes) > 1 else ""
        if before and self.head.is_file() and self.head.read_text(encoding="utf-8").strip() == before:
            files.write_text(self.head, f"{len(hashes)} {hashes[-1]}\n")

    def lines(self) -> list[bytes]:
        """Return all whole lines."""
        return [line for line in self._split()[0].split(b"\n") if line.strip()]

    def mend(self) -> None:
        """Cut off a torn last line; give a whole one its end."""
        whole, rest = self._split()
        if rest:
            files.write_bytes(self.path, whole)

    def _split(self) -> tuple[bytes, bytes]:
        """Return the whole lines, and what follows the last line end unless it is a whole decision itself."""
        content = files.read_bytes(self.path) if self.path.is_file() else b""
        end = content.rfind(b"\n") + 1
        whole, rest = content[:end], content[end:]
        with contextlib.suppress(ValueError, RecursionError):  # as a ValidationError is
            Decision.model_validate(files.parse_json(rest))
            whole += rest + b"\n"
        return whole, rest

    def _read(self, line: bytes, place: int) -> Decision:
        try:
            return Decision.model_validate(files.parse_json(line))
        except ValidationError as error:
            received = mistake(error)
        except (ValueError, RecursionError) as error:
            received = str(error)
        raise RegistryError(
            f"line {place} of {self.path} is no decision: expected one JSON object; {received}",
            hint=f"go back to the last whole one: git checkout -- {self.path}",
        )


def _content(line: bytes) -> Json:
    try:
        content: Json = files.parse_json(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _written(content: Json) -> bytes:
    """Return the bytes of a line: one spelling alone, so that no program reads it otherwise."""
    return json.dumps(content, separators=(",", ":")).encode()


def _hash(line: bytes) -> str:
    chain = _content(line).get(CHAIN)
    return chain if isinstance(chain, str) and chain else hashlib.sha256(line).hexdigest()


def _chain(before: bytes, content: Json) -> str:
    """Hash a decision together with the line before it."""
    told = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(before + b"\n" + told.encode()).hexdigest()
