"""The pointer to a champion, serving/champions/TASK.json: the one reader that the command line and the service share.

It names the version, holds the line of the ledger that made it champion, and the hash of every line of the ledger; and
one hash of the files of its package that the version does not cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiltyard import files
from tiltyard.errors import RegistryError
from tiltyard.files import Json
from tiltyard.registry import manifest

EXPECTED = "expected task, version and decision"


@dataclass(frozen=True)
class Pointer:
    """What a pointer says; `hashes` is None in one that was written before they were recorded."""

    version: str
    decision: Json
    hashes: list[str] | None
    files: str = ""  # of the package; nothing if they were not recorded


def read(path: Path) -> Pointer:
    """Read a pointer; refuse one that is damaged, contradicts itself, or is about another task."""
    try:
        content = files.read_json(path)
    except (ValueError, RecursionError):
        raise _no_pointer(path) from None
    if not isinstance(content, dict):
        raise _no_pointer(path)
    decision = content.get("decision", {})
    if not isinstance(decision, dict):
        raise _no_pointer(path)
    version = _one_value(path, "version", content, decision)
    if (task := _one_value(path, "task", content, decision)) and task != path.stem:
        raise _refused(path, f"is about another task: expected {path.stem}; received {task}")
    if not version:
        raise _no_pointer(path)
    if not isinstance(digest := content.get("files", ""), str):
        raise _refused(path, "holds no readable hash of the package's files: expected a text under files")
    return Pointer(version, decision, _hashes(path, content), digest)


def content(line: Json, hashes: list[str], package: Path) -> Json:
    """Return what is written for a line of the ledger that makes a version champion."""
    recorded = {"files": manifest.digest(package)} if manifest.hashes(package) else {}
    return {
        "task": line["task"],
        "version": line["version"],
        "decision": line,
        "ledger": {"hashes": hashes},
        **recorded,
    }


def _one_value(path: Path, key: str, content: Json, decision: Json) -> str:
    """Return what both places say, which must be the same; nothing if neither says anything."""
    given = [place[key] for place in (content, decision) if key in place]
    if not all(isinstance(value, str) and value for value in given):
        raise _no_pointer(path)
    if len({*given}) > 1:
        raise _refused(path, f"contradicts itself: its {key} is {given[0][:80]}, that of its decision {given[1][:80]}")
    return str(given[0]) if given else ""


def _hashes(path: Path, content: Json) -> list[str] | None:
    if "ledger" not in content:
        return None
    ledger = content["ledger"]
    hashes = ledger.get("hashes") if isinstance(ledger, dict) else None
    if not isinstance(hashes, list) or not all(isinstance(one, str) for one in hashes):
        raise _refused(path, "holds no readable hashes of the ledger: expected a list of texts under ledger.hashes")
    return hashes


def _no_pointer(path: Path) -> RegistryError:
    return _refused(path, f"is no pointer to a champion: {EXPECTED}")


def _refused(path: Path, what: str) -> RegistryError:
    return RegistryError(f"{path} {what}", hint=f"go back to the last whole one: git checkout -- {path}")
