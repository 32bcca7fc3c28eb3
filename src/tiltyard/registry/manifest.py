"""The manifest: hashes of a package's files that its version does not cover (schema, card, golden rows, reference).

proven.json records them when the package is verified, manifest.json inside a Bento, which is built before, and the
pointer holds one hash of all but the golden rows. Old packages without hashes are still opened.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tiltyard import files
from tiltyard.errors import PackageError

COVERED_FILES = {"schema.json", "card.md", "golden.json", "reference.json"}
FILES_KEY = "files"  # of proven.json


def hashes(folder: Path) -> dict[str, str]:
    """Return the hashes of the files that exist."""
    return {name: files.file_digest(folder / name).hex() for name in sorted(COVERED_FILES) if (folder / name).is_file()}


def digest(folder: Path) -> str:
    """Return one hash for the pointer, without golden rows, which the service checks against the model itself."""
    return _digest(hashes(folder))


def _digest(file_hashes: dict[str, str]) -> str:
    named = {name: file_hash for name, file_hash in file_hashes.items() if name != "golden.json"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def write(folder: Path) -> None:
    """Write manifest.json into a package that becomes part of a Bento."""
    files.write_json(folder / "manifest.json", hashes(folder))


def check(folder: Path, expected: str = "") -> None:
    """Refuse a package whose files differ from the recorded hashes; `expected` is the hash in the pointer."""
    current = hashes(folder)
    for name, recorded in _recorded(folder).items():
        if current.get(name) != recorded:
            received = current.get(name, "no such file")[:12]
            raise PackageError(
                f"{folder / name} was changed after packaging: expected {recorded[:12]}; received {received}",
                hint=f"restore the package: dvc checkout {folder}.dvc",
            )
    if expected and (received := _digest(current)) != expected:
        raise PackageError(
            f"schema.json, card.md or reference.json of {folder} is not the one that was promoted: expected the hash "
            f"{expected[:12]}; received {received[:12]}",
            hint=f"restore the package: dvc checkout {folder}.dvc",
        )


def _recorded(folder: Path) -> dict[str, str]:
    """Return the recorded hashes; an invalid record counts as changed, not as missing."""
    digests: dict[str, str] = {}
    for name in ("manifest.json", "proven.json"):
        if not (path := folder / name).is_file():
            continue
        try:
            content = files.read_json(path)
            recorded = content.get(FILES_KEY, {}) if name == "proven.json" else content
            digests |= {str(key): str(value) for key, value in recorded.items()}
        except (ValueError, AttributeError, RecursionError):
            raise PackageError(f"{path} was changed after packaging: expected hashes of files by name") from None
    return digests
