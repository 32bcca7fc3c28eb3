"""The command restore: put the files of a backup back in place, and check out what DVC has of them.

The archive is unpacked beside the project and compared with its hashes before any file of the project changes. After a
kill the same command continues.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tiltyard import files
from tiltyard.data import dvc
from tiltyard.errors import WorkspaceError, join_first
from tiltyard.maintenance.backup import FORMAT, KEPT, MANIFEST, HashingReader, cached_folders, pointers
from tiltyard.runtime import progress
from tiltyard.workspace import Workspace

STAGING = ".tiltyard-restore"  # beside the files that it replaces, so that these are moved, not copied
MAX_MANIFEST_BYTES = 256_000_000
CHUNK = 1 << 20


@dataclass(frozen=True)
class Restored:
    """How many files were put in place, how many were there already, and the pointers whose folders are missing."""

    files: int
    unchanged: int
    missing: list[str]


def restore(path: Path, root: Path, *, force: bool = False) -> Restored:
    """Restore a project in a folder, which may be empty or a clone; with `force`, replace files that differ."""
    if not path.is_file():
        raise WorkspaceError(f"{path}: expected a backup; there is no such file")
    root.mkdir(parents=True, exist_ok=True)
    staging = root / STAGING
    shutil.rmtree(staging, ignore_errors=True)  # left by a killed process
    try:
        hashes = _unpack(path, staging)
        changed = {name for name, digest in hashes.items() if _digest(root / name) not in ("", digest)}
        if changed and not (force or _is_continued(root, path)):
            raise WorkspaceError(
                f"{path}: {len(changed)} files of the project differ from the backup: {join_first(sorted(changed))}",
                hint=f"to replace them: tiltyard restore --force {path}",
            )
        files.write_text(_mark(root), _name(path))
        moved = [name for name, digest in sorted(hashes.items()) if _move(staging / name, root / name, digest)]
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    workspace = Workspace(root)
    for folder in cached_folders(workspace):
        dvc.checkout(workspace, folder, dvc.pointer(folder))
    missing = [path for path in pointers(workspace) if not path.with_suffix("").is_dir()]
    _mark(root).unlink()
    return Restored(len(moved), len(hashes) - len(moved), [str(path.relative_to(root)) for path in missing])


def _unpack(path: Path, staging: Path) -> dict[str, str]:
    """Unpack an archive; return the hashes of its files, which are those that it lists."""
    found, manifest = dict[str, str](), dict[str, Any]()
    try:
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                if manifest:
                    raise _not_a_backup(path, f"a file after {MANIFEST}: {entry.name[:80]!r}")
                if entry.name == MANIFEST:
                    manifest = _manifest(path, archive, entry)
                else:
                    _require_allowed(path, entry)
                    found[entry.name] = _write(path, archive, entry, staging / entry.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # no such file, no room on the disk
            raise
        raise _not_a_backup(path, f"{type(error).__name__}: {error}") from None
    if not manifest:
        raise _not_a_backup(path, f"no {MANIFEST} at its end: it is not whole")
    if wrong := sorted(
        name for name in {*found, *manifest["hashes"]} if found.get(name) != manifest["hashes"].get(name)
    ):
        raise _not_a_backup(path, f"damaged files: {join_first(wrong)}")
    return found


def _manifest(path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> dict[str, Any]:
    """Read the list of hashes; refuse that of a newer format."""
    file = archive.extractfile(entry) if entry.isreg() and entry.size <= MAX_MANIFEST_BYTES else None
    try:
        content = json.loads(file.read()) if file else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("hashes"), dict):
        raise _not_a_backup(path, f"{MANIFEST} that is not an object with hashes")
    if content.get("format") != FORMAT:
        raise WorkspaceError(
            f"{path}: expected format {FORMAT}; received that of Tiltyard {content.get('tiltyard')}",
            hint="restore it with that version of Tiltyard, or a newer one",
        )
    return content


def _require_allowed(path: Path, entry: tarfile.TarInfo) -> None:
    """Refuse names outside the folders that a backup has, links, devices, and files larger than the archive can be."""
    name = PurePosixPath(entry.name)
    inside = any(_is_kept(place) for place in (name, *name.parents))
    if not entry.isreg() or not inside or ".." in name.parts or str(name) != entry.name:
        raise _not_a_backup(path, f"{entry.name[:80]!r}, which no backup has")


def _is_kept(place: PurePosixPath) -> bool:
    return any(place.match(kept) and len(place.parts) == kept.count("/") + 1 for kept in KEPT)


def _write(path: Path, archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> str:
    """Write a file of the archive; return its hash."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.size > shutil.disk_usage(target.parent).free:
        raise WorkspaceError(f"{path}: no room for {entry.name}, which has {entry.size:,} bytes")
    content = archive.extractfile(entry)
    assert content is not None  # noqa: S101 - for the type checker: it is a regular file
    reader = HashingReader(content)
    with target.open("wb") as file, progress.status(f"restore: {entry.name}"):
        shutil.copyfileobj(reader, file, CHUNK)
    target.chmod(0o600 if not entry.mode & 0o077 else 0o644)
    return reader.hash.hexdigest()


def _move(source: Path, target: Path, digest: str) -> bool:
    """Put a file in place; return whether it was not there yet."""
    if _digest(target) == digest:
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    return True


def _digest(path: Path) -> str:
    """Return the hash of a file; empty if there is none."""
    return files.file_digest(path).hex() if path.is_file() else ""


def _mark(root: Path) -> Path:
    """Return the file that names the archive while it is restored."""
    return root / ".tiltyard" / "restoring"


def _is_continued(root: Path, path: Path) -> bool:
    """Return whether a restore of the same archive was killed."""
    return _mark(root).is_file() and _mark(root).read_text(encoding="utf-8") == _name(path)


def _name(path: Path) -> str:
    return files.sha256(path)


def _not_a_backup(path: Path, received: str) -> WorkspaceError:
    return WorkspaceError(f"{path}: expected a backup by `tiltyard backup`; received {received}")
