"""What git held: ledgers, heads, pointers and public keys as of a commit, beside those that are there now.

Whoever may write files can rewrite a ledger, its head and the pointer so that they agree. What a commit held, which
others have too, stays as it was.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.ledger import Ledger
from tiltyard.pointer import Pointer, read
from tiltyard.workspace import Workspace

FOLDERS = ("serving/ledger", "serving/champions", "serving/signers")


@dataclass(frozen=True)
class Commit:
    """A commit of the project's repository."""

    workspace: Workspace
    ref: str

    @cached_property
    def hash(self) -> str:
        """Its full hash; a name that git does not know is refused."""
        found = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.ref}^{{commit}}")
        if found is None:
            raise RegistryError(
                f"git knows no commit {self.ref!r} in {self.workspace.root}: expected a commit, branch or tag",
                hint="see which there are: git log --oneline",
            )
        return found.decode().strip()

    @cached_property
    def files(self) -> set[str]:
        """The files of the registry that it holds, by their paths in the project."""
        listing = self._git("ls-tree", "-r", "-z", "--name-only", self.hash, "--", *FOLDERS) or b""
        return {name.decode(errors="surrogateescape") for name in listing.split(b"\0") if name}

    def tasks(self) -> set[str]:
        """The tasks about which it holds a ledger, a head or a pointer."""
        return {PurePosixPath(name).stem for name in self.files if not name.startswith("serving/signers/")}

    def read(self, path: str) -> bytes | None:
        """Return what a file of the project held."""
        return self._git("cat-file", "blob", f"{self.hash}:./{path}") if path in self.files else None

    def _git(self, *arguments: str) -> bytes | None:
        command = ["git", "-C", str(self.workspace.root), *arguments]
        try:
            return subprocess.run(command, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return None


def task_faults(commit: Commit, task: str) -> list[str]:
    """Return what of a task's ledger, head and pointer is gone or was rewritten since."""
    ledger = Ledger(commit.workspace.ledger(task))
    before = [line for line in (commit.read(f"serving/ledger/{task}.jsonl") or b"").split(b"\n") if line.strip()]
    found = _gone(commit, f"serving/ledger/{task}.jsonl") or _rewritten(commit, ledger, before)
    found += _gone(commit, f"serving/ledger/{task}.head")
    found += _gone(commit, f"serving/champions/{task}.json")
    content = commit.read(f"serving/champions/{task}.json")
    return found if content is None else found + _pointer_faults(commit, ledger, task, content)


def signer_faults(commit: Commit) -> tuple[list[str], list[str]]:
    """Return which public keys are gone or are others now, and which have come since."""
    faults = []
    then = {name for name in commit.files if name.startswith("serving/signers/") and name.endswith(".pub")}
    for name in sorted(then):
        path = commit.workspace.root / name
        if gone := _gone(commit, name):
            faults += gone
        elif files.read_bytes(path).split()[:2] != (commit.read(name) or b"").split()[:2]:  # the third is a comment
            faults.append(f"{name} is another key than that of {commit.ref}")
    now = {f"serving/signers/{path.name}" for path in commit.workspace.signers.glob("*.pub")}
    return faults, sorted(PurePosixPath(name).stem for name in now - then)


def _gone(commit: Commit, name: str) -> list[str]:
    if name not in commit.files or (commit.workspace.root / name).is_file():
        return []
    return [f"{name} is gone: {commit.ref} holds it; to bring it back: git checkout {commit.hash[:12]} -- {name}"]


def _rewritten(commit: Commit, ledger: Ledger, before: list[bytes]) -> list[str]:
    """Want the lines of then at the beginning of those of now, byte by byte."""
    now = ledger.lines()
    for place, line in enumerate(before, 1):
        if place > len(now):
            return [f"{ledger.path} has {len(now)} lines: expected at least the {len(before)} of {commit.ref}"]
        if now[place - 1].strip() != line.strip():
            return [f"line {place} of {ledger.path} is another than in {commit.ref}"]
    return []


def _pointer_faults(commit: Commit, ledger: Ledger, task: str, content: bytes) -> list[str]:
    """Want the line and the hashes that the pointer held then."""
    try:
        then = files.parse_json(content)
        decision: dict[str, Any] = then.get("decision", {})
        hashes: list[str] | None = then.get("ledger", {}).get("hashes")
    except (ValueError, AttributeError, RecursionError):
        return []  # it was none then
    now, faults = _pointer(commit.workspace, task), []
    known = {line.get("id") for line in ledger.contents()} | ({now.decision.get("id")} if now else set())
    if decision.get("id") not in known:
        faults.append(f"the decision that made {str(then.get('version'))[:80]} champion in {commit.ref} is in no line")
    if hashes and now and (now.hashes or [])[: len(hashes)] != hashes:
        faults.append(f"the pointer holds other hashes of the first {len(hashes)} lines than in {commit.ref}")
    return faults


def _pointer(workspace: Workspace, task: str) -> Pointer | None:
    """Read the pointer of now; one that cannot be read is told elsewhere."""
    path = workspace.champion(task)
    try:
        return read(path) if path.is_file() else None
    except RegistryError:
        return None
