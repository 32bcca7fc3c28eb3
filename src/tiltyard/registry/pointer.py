"""The champion pointer, serving/champions/TASK.json: reading and writing it.

It holds the version, the ledger line that made it champion, the hash of every ledger line, and one hash of those
package files that the version does not cover.
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
    """The content of a pointer; `hashes` is None if it was written before hashes were recorded."""

    version: str
    decision: Json
    hashes: list[str] | None
    files: str = ""  # hash of the package's files; empty if not recorded


def read(path: Path) -> Pointer:
    """Read a pointer; refuse one that is damaged, contradicts itself, or is about another task."""
    try:
        content = files.read_json(path)
    except (ValueError, RecursionError):
        raise _invalid_pointer(path) from None
    if not isinstance(content, dict):
        raise _invalid_pointer(path)
    decision = content.get("decision", {})
    if not isinstance(decision, dict):
        raise _invalid_pointer(path)
    version = _agreed_value(path, "version", content, decision)
    if (task := _agreed_value(path, "task", content, decision)) and task != path.stem:
        raise _pointer_error(path, f"is about another task: expected {path.stem}; received {task}")
    if not version:
        raise _invalid_pointer(path)
    if not isinstance(digest := content.get("files", ""), str):
        raise _pointer_error(path, "holds no readable hash of the package's files: expected a string under files")
    return Pointer(version, decision, _hashes(path, content), digest)


def write(path: Path, line: Json, hashes: list[str], package: Path) -> None:
    """Write the pointer for a ledger line that makes a version champion."""
    recorded = {"files": manifest.digest(package)} if manifest.hashes(package) else {}
    content = {
        "task": line["task"],
        "version": line["version"],
        "decision": line,
        "ledger": {"hashes": hashes},
        **recorded,
    }
    files.write_json(path, content)


def write_hashes(path: Path, hashes: list[str]) -> None:
    """Write the hashes of all ledger lines into the pointer, if there is one."""
    if path.is_file():
        files.write_json(path, {**files.read_json(path), "ledger": {"hashes": hashes}})


def write_package_hash(path: Path, package: Path) -> None:
    """Write the hash of a package that was built again into the pointer."""
    if (digest := manifest.digest(package)) != read(path).files:
        files.write_json(path, {**files.read_json(path), "files": digest})


def _agreed_value(path: Path, key: str, content: Json, decision: Json) -> str:
    """Return the value that both places hold, which must be equal; empty if neither has one."""
    values = [place[key] for place in (content, decision) if key in place]
    if not all(isinstance(value, str) and value for value in values):
        raise _invalid_pointer(path)
    if len({*values}) > 1:
        raise _pointer_error(
            path, f"contradicts itself: its {key} is {values[0][:80]}, that of its decision {values[1][:80]}"
        )
    return str(values[0]) if values else ""


def _hashes(path: Path, content: Json) -> list[str] | None:
    if "ledger" not in content:
        return None
    ledger = content["ledger"]
    hashes = ledger.get("hashes") if isinstance(ledger, dict) else None
    if not isinstance(hashes, list) or not all(isinstance(digest, str) for digest in hashes):
        raise _pointer_error(path, "holds no readable hashes: expected a list of strings under ledger.hashes")
    return hashes


def _invalid_pointer(path: Path) -> RegistryError:
    return _pointer_error(path, f"is not a champion pointer: {EXPECTED}")


def _pointer_error(path: Path, problem: str) -> RegistryError:
    return RegistryError(f"{path} {problem}", hint=f"restore the last valid one: git checkout -- {path}")
