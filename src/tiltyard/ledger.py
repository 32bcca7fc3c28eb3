"""The ledger: every decision about a task as one line of JSON, only ever appended to.

Each line holds a hash of itself and of the line before it, and the file beside it says how many there are: whoever
changes, inserts or takes out a line would have to write all that follow anew.
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
from tiltyard.decision import Decision
from tiltyard.errors import RegistryError

CHAIN = "chain"  # the key of a line's hash


@dataclass(frozen=True)
class Ledger:
    """The file of one task."""

    path: Path

    def decisions(self) -> list[Decision]:
        """Read all whole lines; a last line without its end was torn by a kill, and never counted."""
        whole, _ = self._split()
        lines = whole.decode(errors="replace").splitlines()
        return [self._read(line, place) for place, line in enumerate(lines, 1) if line.strip()]

    def append(self, decision: Decision) -> None:
        """Add a line in one write, and see it on the disk."""
        self.mend()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines, content = self._lines(), decision.model_dump(mode="json")
        chain = _chain(lines[-1] if lines else b"", content)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, json.dumps({**content, CHAIN: chain}, separators=(",", ":")).encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        files.write_text(self.head, f"{len(lines) + 1} {chain}\n")

    @property
    def head(self) -> Path:
        """Where it is said how many lines there are, and what the last one's hash is."""
        return self.path.with_suffix(".head")

    def faults(self) -> list[str]:
        """Say which lines are not as they were written, or do not follow what they followed."""
        found, before, chains = [], b"", [""]
        for place, line in enumerate(self._lines(), 1):
            content = self._content(line)
            chains.append(content.pop(CHAIN, ""))
            if not chains[-1] and any(chains):
                found.append(
                    f"line {place} of {self.path} was put in: expected the hash of the line before; it has none"
                )
            if chains[-1] and chains[-1] != _chain(before, content):
                found.append(f"line {place} of {self.path} was changed, or what stood before it was")
            before = line
        return found + self._missing(chains)

    def _missing(self, chains: list[str]) -> list[str]:
        """Hold the lines against the head, which a kill may have left one behind."""
        if not self.head.is_file():
            return [f"{self.head} is gone: expected the number of lines"] if any(chains) else []
        told, _, chain = self.head.read_text(encoding="utf-8").strip().partition(" ")
        if not told.isdecimal() or int(told) >= len(chains):
            return [f"{self.path} has {len(chains) - 1} lines: expected {told}, the last ones were taken out"]
        good = chains[int(told)] == chain and len(chains) - 1 <= int(told) + 1
        return [] if good else [f"{self.path} does not end as {self.head} says: it was written by something else"]

    def _lines(self) -> list[bytes]:
        return [line for line in self._split()[0].split(b"\n") if line.strip()]

    def _content(self, line: bytes) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads(line)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}

    def mend(self) -> None:
        """Cut off a torn last line; give a whole one its end."""
        whole, rest = self._split()
        if rest:
            files.write_bytes(self.path, whole)

    def _split(self) -> tuple[bytes, bytes]:
        """Give the whole lines, and what follows the last line end unless it is a whole decision itself."""
        content = self.path.read_bytes() if self.path.is_file() else b""
        end = content.rfind(b"\n") + 1
        whole, rest = content[:end], content[end:]
        with contextlib.suppress(ValidationError):
            Decision.model_validate_json(rest)
            whole += rest + b"\n"
        return whole, rest

    def _read(self, line: str, place: int) -> Decision:
        try:
            return Decision.model_validate_json(line)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise RegistryError(
                f"line {place} of {self.path} is no decision: expected one JSON object; {problem['msg']}",
                hint=f"go back to the last whole one: git checkout -- {self.path}",
            ) from None


def _chain(before: bytes, content: dict[str, Any]) -> str:
    """Hash a decision together with the line before it."""
    told = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(before + b"\n" + told.encode()).hexdigest()
