"""The ledger: every decision about a task as one line of JSON, only ever appended to."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tiltyard import files
from tiltyard.decision import Decision
from tiltyard.errors import RegistryError


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
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, decision.model_dump_json().encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        files.sync_folder(self.path.parent)

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
