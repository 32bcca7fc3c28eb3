"""Compare ledgers, heads, pointers and public keys with those of a git commit.

Anyone with write access can rewrite a ledger, its head and the pointer consistently. A commit that others
have, too, cannot be changed unnoticed.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.registry.ledger import Ledger
from tiltyard.registry.pointer import Pointer, read
from tiltyard.workspace import Workspace

HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
FOLDER, SUBMODULE = b"40000", b"160000"  # modes in a tree
FOLDERS = ("serving/ledger", "serving/champions", "serving/signers")


@dataclass(frozen=True)
class Commit:
    """A commit of the project's repository. Every object that is read is hashed, because objects are files, too."""

    workspace: Workspace
    ref: str

    @cached_property
    def hash(self) -> str:
        """The full hash of the commit; an unknown name, or one that is not a commit, is refused."""
        output = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", self.ref)
        name = output.decode().strip() if output else ""
        kind, content = self._read_object(name) if name else ("", b"")
        while kind == "tag":
            name = _header(content, b"object")
            kind, content = self._read_object(name)
        if kind != "commit":
            raise RegistryError(
                f"git knows no commit {self.ref!r} in {self.workspace.root}: expected a commit, branch or tag",
                hint="list commits: git log --oneline",
            )
        return name

    @cached_property
    def files(self) -> dict[str, str]:
        """The registry's files in the commit: path in the project -> name of the git object."""
        prefix = (self._git("rev-parse", "--show-prefix") or b"").rstrip(b"\n")
        tree = _header(self._read_object(self.hash)[1], b"tree")
        hashes: dict[str, str] = {}
        for folder in FOLDERS:
            hashes |= self._files_below(tree, [*filter(None, prefix.split(b"/")), *folder.encode().split(b"/")], folder)
        return hashes

    def tasks(self) -> set[str]:
        """The tasks with a ledger, head or pointer in the commit."""
        return {PurePosixPath(name).stem for name in self.files if not name.startswith("serving/signers/")}

    def read(self, path: str) -> bytes | None:
        """Return the content of a project file in the commit."""
        return self._read_object(self.files[path])[1] if path in self.files else None

    def holds_key(self, signer: str) -> bool:
        """Return whether the commit holds the current public key of a signer."""
        path = f"serving/signers/{signer}.pub"
        now = self.workspace.root / path
        return now.is_file() and _key_words(files.read_bytes(now)) == _key_words(self.read(path) or b"")

    def _files_below(self, tree: str, parts: list[bytes], folder: str) -> dict[str, str]:
        """Return the files below a folder of a tree; empty if there is no such folder."""
        entries = _entries(self._read_object(tree)[1], len(tree) // 2)
        if parts:
            mode, name = entries.get(parts[0], (b"", ""))
            return self._files_below(name, parts[1:], folder) if mode == FOLDER else {}
        hashes: dict[str, str] = {}
        for part, (mode, name) in entries.items():
            path = f"{folder}/{part.decode(errors='surrogateescape')}"
            if mode == FOLDER:
                hashes |= self._files_below(name, [], path)
            elif mode != SUBMODULE:
                hashes[path] = name
        return hashes

    def _read_object(self, name: str) -> tuple[str, bytes]:
        """Return kind and content of a git object; refuse it unless its content matches its hash."""
        answer = self._git("cat-file", "--batch", stdin=name.encode() + b"\n") if HASH.fullmatch(name) else None
        head, _, content = (answer or b"").partition(b"\n")
        words, content = head.decode(errors="replace").split(), content[:-1]
        if len(words) != 3 or _object_hash(name, words[1], content) != name:
            raise RegistryError(
                f"git's object {name[:12]}, which {self.ref} needs, is missing, damaged or overwritten",
                hint="check the repository: git fsck; compare with a fresh clone",
            )
        return words[1], content

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes | None:
        """Run git without replacement objects and grafts, which could substitute the content of a hash."""
        command = ["git", "--no-replace-objects", "-C", str(self.workspace.root), *arguments]
        environment = {**os.environ, "GIT_GRAFT_FILE": os.devnull}
        try:
            return subprocess.run(command, input=stdin, capture_output=True, check=True, env=environment).stdout
        except (OSError, subprocess.CalledProcessError):
            return None


def _header(content: bytes, key: bytes) -> str:
    """Return the name in the first line of a commit or tag."""
    word, _, name = content.partition(b"\n")[0].partition(b" ")
    return name.decode(errors="replace") if word == key else ""


def _entries(tree: bytes, size: int) -> dict[bytes, tuple[bytes, str]]:
    """Return mode and object by name in a tree, with hashes of `size` bytes."""
    entries, start = {}, 0
    while start < len(tree):
        if (end := tree.find(b"\0", start)) < 0:
            break
        mode, _, name = tree[start:end].partition(b" ")
        entries[name] = (mode, tree[end + 1 : end + 1 + size].hex())
        start = end + 1 + size
    return entries


def _object_hash(name: str, kind: str, content: bytes) -> str:
    """Hash an object as git does, with the algorithm of its name."""
    encoded = f"{kind} {len(content)}\0".encode() + content
    if len(name) == 40:
        return hashlib.sha1(encoded, usedforsecurity=False).hexdigest()  # SHA-1 is what git uses
    return hashlib.sha256(encoded).hexdigest()


def _key_words(content: bytes) -> list[bytes]:
    """Return type and key of an OpenSSH line, without the comment."""
    return content.split()[:2]


def task_faults(commit: Commit, task: str) -> list[str]:
    """Return what was removed or rewritten in a task's ledger, head and pointer since the commit."""
    ledger = Ledger(commit.workspace.ledger(task))
    before = [line for line in (commit.read(f"serving/ledger/{task}.jsonl") or b"").split(b"\n") if line.strip()]
    faults = _missing_faults(commit, f"serving/ledger/{task}.jsonl") or _line_faults(commit, ledger, before)
    faults += _missing_faults(commit, f"serving/ledger/{task}.head")
    faults += _missing_faults(commit, f"serving/champions/{task}.json")
    content = commit.read(f"serving/champions/{task}.json")
    return faults if content is None else faults + _pointer_faults(commit, ledger, task, content)


def signer_faults(commit: Commit) -> tuple[list[str], list[str]]:
    """Return faults of public keys since the commit, and the names of new keys."""
    faults = []
    then = {name for name in commit.files if name.startswith("serving/signers/") and name.endswith(".pub")}
    for name in sorted(then):
        if missing := _missing_faults(commit, name):
            faults += missing
        elif not commit.holds_key(PurePosixPath(name).stem):
            faults.append(f"{name} is a different key than in {commit.ref}")
    now = {f"serving/signers/{path.name}" for path in commit.workspace.signers.glob("*.pub")}
    return faults, sorted(PurePosixPath(name).stem for name in now - then)


def _missing_faults(commit: Commit, name: str) -> list[str]:
    if name not in commit.files or (commit.workspace.root / name).is_file():
        return []
    return [f"{name} is missing: {commit.ref} has it; to restore it: git checkout {commit.hash[:12]} -- {name}"]


def _line_faults(commit: Commit, ledger: Ledger, before: list[bytes]) -> list[str]:
    """Require the commit's lines at the start of the current ledger, byte by byte."""
    now = ledger.lines()
    for place, line in enumerate(before, 1):
        if place > len(now):
            return [f"{ledger.path} has {len(now)} lines: expected at least the {len(before)} of {commit.ref}"]
        if now[place - 1].strip() != line.strip():
            return [f"line {place} of {ledger.path} differs from {commit.ref}"]
    return []


def _pointer_faults(commit: Commit, ledger: Ledger, task: str, content: bytes) -> list[str]:
    """Require the decision and the hashes of the commit's pointer."""
    try:
        then = files.parse_json(content)
        decision: dict[str, Any] = then.get("decision", {})
        hashes: list[str] | None = then.get("ledger", {}).get("hashes")
    except (ValueError, AttributeError, RecursionError):
        return []  # it was not valid then
    now, faults = _read_pointer(commit.workspace, task), []
    decision_ids = {line.get("id") for line in ledger.contents()} | ({now.decision.get("id")} if now else set())
    if decision.get("id") not in decision_ids:
        faults.append(
            f"the decision that made {str(then.get('version'))[:80]} champion in {commit.ref} is not in the ledger"
        )
    if hashes and now and (now.hashes or [])[: len(hashes)] != hashes:
        faults.append(f"the pointer's hashes of the first {len(hashes)} lines differ from {commit.ref}")
    return faults


def _read_pointer(workspace: Workspace, task: str) -> Pointer | None:
    """Return the current pointer; other checks report one that cannot be read."""
    path = workspace.champion(task)
    try:
        return read(path) if path.is_file() else None
    except RegistryError:
        return None
