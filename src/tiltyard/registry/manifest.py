"""The hashes of a package's files that its version does not cover: schema, card, golden rows and reference.

They are recorded in proven.json when the package was proven, in manifest.json inside a Bento, which is built before,
and, but for the golden rows, as one hash in the pointer. Packages from before have none and are opened all the same.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tiltyard import files
from tiltyard.errors import PackageError

COVERED = {"schema.json", "card.md", "golden.json", "reference.json"}
KEY = "files"  # of proven.json


def hashes(folder: Path) -> dict[str, str]:
    """Hash the files of a package that are there."""
    return {name: files.file_digest(folder / name).hex() for name in sorted(COVERED) if (folder / name).is_file()}


def digest(folder: Path) -> str:
    """Return one hash for the pointer; golden rows are left out, since the service asks them of the model itself."""
    named = {name: found for name, found in hashes(folder).items() if name != "golden.json"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def write(folder: Path) -> None:
    """Write the hashes into a package that is part of a Bento."""
    files.write_json(folder / "manifest.json", hashes(folder))


def check(folder: Path, expected: str = "") -> None:
    """Refuse a package whose files are not those that were recorded; `expected` is what the pointer says."""
    found = hashes(folder)
    for name, recorded in _recorded(folder).items():
        if found.get(name) != recorded:
            received = found.get(name, "no such file")[:12]
            raise PackageError(
                f"{folder / name} was changed after packaging: expected {recorded[:12]}; received {received}",
                hint=f"bring back the package: dvc checkout {folder}.dvc",
            )
    if expected and (received := digest(folder)) != expected:
        raise PackageError(
            f"schema.json, card.md or reference.json of {folder} is not the one that was promoted: expected the hash "
            f"{expected[:12]}; received {received[:12]}",
            hint=f"bring back the package: dvc checkout {folder}.dvc",
        )


def _recorded(folder: Path) -> dict[str, str]:
    """Read what was recorded; what is no such record stands for a changed file, and not for none."""
    found: dict[str, str] = {}
    for name in ("manifest.json", "proven.json"):
        if not (path := folder / name).is_file():
            continue
        try:
            content = files.read_json(path)
            recorded = content.get(KEY, {}) if name == "proven.json" else content
            found |= {str(key): str(value) for key, value in recorded.items()}
        except (ValueError, AttributeError, RecursionError):
            raise PackageError(f"{path} was changed after packaging: expected hashes of files by name") from None
    return found
