"""The ledger: an append-only JSON Lines file with every decision about a task.

Each line holds a hash of itself and the line before it (a hash chain), and, if there is a key, a signature of that
hash. The head file holds the number of lines and the last hash; the champion's pointer holds the hash of each line.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tiltyard import files
from tiltyard.errors import RegistryError, newer_format
from tiltyard.files import Json
from tiltyard.registry.decision import Decision, first_error
from tiltyard.registry.signing import Signer

CHAIN = "chain"  # the key of a line's hash
SIGNATURE = "signature"  # of that hash, which covers the signer's name
SIGNER = "signer"
FORMAT = "format"  # 2: the pointer records the hash of this line
CURRENT_FORMAT = 2


@dataclass(frozen=True)
class Ledger:
    """The ledger file of one task."""

    path: Path

    def decisions(self) -> list[Decision]:
        """Return the decisions of all whole lines; a last line without line end was torn by a kill, and is ignored."""
        return [self._parse_decision(line, place) for place, line in enumerate(self.lines(), 1)]

    def next_line(self, decision: Decision, signer: Signer | None = None) -> Json:
        """Return a decision as the next line, with its hash and signature; refuse to go on after a newer format."""
        lines = self.lines()
        if lines:
            refuse_newer(f"line {len(lines)} of {self.path}", _parse_line(lines[-1]))
        content = {**decision.model_dump(mode="json"), FORMAT: CURRENT_FORMAT}
        if signer:
            content[SIGNER] = signer.name
        chain = _chain(lines[-1] if lines else b"", content)
        return {**content, CHAIN: chain, **({SIGNATURE: signer.sign(chain)} if signer else {})}

    def append(self, decision: Decision | Json) -> None:
        """Append a decision, or a line from next_line, in one write, and sync it to disk."""
        self.repair_last_line()
        line = self.next_line(decision) if isinstance(decision, Decision) else decision
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number = len(self.lines()) + 1
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, _encode_line(line) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        files.write_text(self.head, f"{number} {line[CHAIN]}\n")

    @property
    def head(self) -> Path:
        """The head file: the number of lines and the hash of the last one."""
        return self.path.with_suffix(".head")

    def hashes(self) -> list[str]:
        """Return the hash of each line: the recorded one, or the hash of its bytes if none is recorded."""
        return [_line_hash(line) for line in self.lines()]

    def contents(self) -> list[Json]:
        """Return each line as JSON, with fields that a decision does not have; empty if it is not an object."""
        return [_parse_line(line) for line in self.lines()]

    def follows(self, line: Json) -> bool:
        """Return whether a line has the hash that continues the chain."""
        lines = self.lines()
        content = {key: value for key, value in line.items() if key not in {CHAIN, SIGNATURE}}
        return line.get(CHAIN) == _chain(lines[-1] if lines else b"", content)

    def faults(self) -> list[str]:
        """Return faults of the lines: changed, inserted, removed, re-encoded, or of another task."""
        faults, before, chains = [], b"", [""]
        for place, line in enumerate(self.lines(), 1):
            content = _parse_line(line)
            if content.get(FORMAT) == CURRENT_FORMAT and line.strip() != _encode_line(content):
                faults.append(f"line {place} of {self.path} was re-encoded: same content, different bytes")
            if (task := content.get("task", self.path.stem)) != self.path.stem:
                faults.append(f"line {place} of {self.path} is about {task!s:.80}: expected {self.path.stem}")
            chains.append(str(content.pop(CHAIN, "")))
            content.pop(SIGNATURE, None)
            if not chains[-1] and (any(chains) or content.get(FORMAT) == CURRENT_FORMAT):
                faults.append(
                    f"line {place} of {self.path} was inserted: expected the hash of the line before; it has none"
                )
            if chains[-1] and chains[-1] != _chain(before, content):
                faults.append(f"line {place} of {self.path} was changed, or the line before it was")
            before = line
        return faults + self._head_faults(chains)

    def pointer_faults(self, recorded: list[str] | None) -> list[str]:
        """Compare the lines with the pointer's hashes (None if it has none); after a kill it may be one line behind."""
        hashes = self.hashes()
        if recorded is None:
            later = [place for place, line in enumerate(self.contents(), 1) if line.get(FORMAT) == CURRENT_FORMAT]
            if not later:
                return []
            return [f"the pointer holds no hashes of the ledger; it had them when line {later[0]} was written"]
        for place, (actual, recorded_hash) in enumerate(zip(hashes, recorded, strict=False), 1):
            if actual != recorded_hash:
                expected = f"expected {recorded_hash[:12]}; received {actual[:12]}"
                return [f"line {place} of {self.path} does not have the hash in the pointer: {expected}"]
        if len(hashes) < len(recorded):
            return [f"{self.path} has {len(hashes)} lines: expected {len(recorded)}, as in the pointer"]
        if len(hashes) > len(recorded) + 1:
            received = f"the pointer has hashes of {len(recorded)} lines: expected {len(hashes)}"
            return [f"{received}; it is an older pointer, or another program wrote the ledger"]
        return []

    def _head_faults(self, chains: list[str]) -> list[str]:
        """Compare the lines with the head; after a kill it may be one line behind."""
        if not self.head.is_file():
            return [f"{self.head} is missing: expected the number of lines"] if any(chains) else []
        count, _, chain = self.head.read_text(encoding="utf-8", errors="replace").strip().partition(" ")
        if not count.isdecimal() or int(count) >= len(chains):
            return [f"{self.path} has {len(chains) - 1} lines: expected {count:.20}; the last ones were removed"]
        good = chains[int(count)] == chain and len(chains) - 1 <= int(count) + 1
        return [] if good else [f"{self.path} does not end with the hash in {self.head}: another program wrote it"]

    def complete_head(self) -> None:
        """Write the head of the last line if a kill left the one before."""
        hashes = self.hashes()
        before = f"{len(hashes) - 1} {hashes[-2]}" if len(hashes) > 1 else ""
        if before and self.head.is_file() and self.head.read_text(encoding="utf-8").strip() == before:
            files.write_text(self.head, f"{len(hashes)} {hashes[-1]}\n")

    def lines(self) -> list[bytes]:
        """Return all whole lines."""
        return [line for line in self._read_lines()[0].split(b"\n") if line.strip()]

    def repair_last_line(self) -> None:
        """Remove a torn last line; add a missing line end to a whole one."""
        complete_lines, remainder = self._read_lines()
        if remainder:
            files.write_bytes(self.path, complete_lines)

    def _read_lines(self) -> tuple[bytes, bytes]:
        """Return the whole lines, and what follows the last line end unless it is a whole decision."""
        content = files.read_bytes(self.path) if self.path.is_file() else b""
        end = content.rfind(b"\n") + 1
        complete_lines, remainder = content[:end], content[end:]
        with contextlib.suppress(ValueError, RecursionError):  # a ValidationError is a ValueError
            Decision.model_validate(files.parse_json(remainder))
            complete_lines += remainder + b"\n"
        return complete_lines, remainder

    def _parse_decision(self, line: bytes, place: int) -> Decision:
        try:
            content = files.parse_json(line)
            refuse_newer(f"line {place} of {self.path}", content)
            return Decision.model_validate(content)
        except ValidationError as error:
            received = first_error(error)
        except (ValueError, RecursionError) as error:
            received = str(error)
        raise RegistryError(
            f"line {place} of {self.path} is not a decision: expected one JSON object; {received}",
            hint=f"restore the last valid one: git checkout -- {self.path}",
        )


def refuse_newer(place: str, content: Any) -> None:
    """Raise if a line is of a later format, whose hashes and fields this version does not know."""
    received = content.get(FORMAT, 1) if isinstance(content, dict) else 1
    if not isinstance(received, int) or received > CURRENT_FORMAT:
        raise RegistryError(*newer_format(place, received, CURRENT_FORMAT))


def _parse_line(line: bytes) -> Json:
    try:
        content: Json = files.parse_json(line)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _encode_line(content: Json) -> bytes:
    """Return the bytes of a line in its only valid encoding, so that all programs read it the same way."""
    return json.dumps(content, separators=(",", ":")).encode()


def _line_hash(line: bytes) -> str:
    chain = _parse_line(line).get(CHAIN)
    return chain if isinstance(chain, str) and chain else hashlib.sha256(line).hexdigest()


def _chain(before: bytes, content: Json) -> str:
    """Hash a decision together with the line before it."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(before + b"\n" + text.encode()).hexdigest()
