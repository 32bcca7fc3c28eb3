"""The command backup: one archive with all state of a project that no command can make again.

The archive is a compressed tar file of regular files; its last one lists the hash of each, so that a partial or damaged
archive is recognised. Folders that DVC has in its cache are not stored twice: `restore` checks them out.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO

from tiltyard import files
from tiltyard.data import dvc, integrity
from tiltyard.errors import WorkspaceError
from tiltyard.registry.registry import Registry
from tiltyard.runtime import progress
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

MANIFEST = "tiltyard-backup.json"  # the last file of an archive
FORMAT = 1
DECISIONS = ("serving/champions", "serving/ledger", "serving/traffic")  # they change together
CACHED = ("data/raw", "serving/packages")  # folders in which DVC tracks folders
KEPT = (  # patterns of files and folders; everything else is in git, or is made again
    *("tasks", "studies", "data", "serving", "params.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", ".dvc/cache"),
    *(f".tiltyard/{name}" for name in ("records", "search", "studies", "fetched", "state/*/watch", "state/*/estimate")),
)
DATABASE = ".db"  # of SQLite: copied by SQLite itself, since a process may be writing it
BESIDE_DATABASE = ("-journal", "-wal", "-shm")


@dataclass
class Backup:
    """What an archive contains."""

    path: str
    files: int = 0
    bytes: int = 0
    hashes: dict[str, str] = field(default_factory=dict, repr=False)


def backup(workspace: Workspace, path: Path) -> Backup:
    """Write the archive atomically; runs and promotions wait meanwhile, and the service goes on."""
    if path.suffixes[-2:] != [".tar", ".gz"]:
        raise WorkspaceError(f"{path}: expected a name that ends with .tar.gz", hint="tiltyard backup shop.tar.gz")
    made = Backup(str(path))
    with contextlib.ExitStack() as locks, files.atomic_file(path) as temporary:
        for name in workspace.tasks():
            locks.enter_context(task_lock(workspace, name, reading=True))
        with tarfile.open(temporary, "w:gz", compresslevel=1) as archive:
            with _decisions_locked(workspace):
                _add_all(archive, workspace, made, DECISIONS)
            _add_all(archive, workspace, made, KEPT)
            _add_manifest(archive, made)
    return made


@contextlib.contextmanager
def _decisions_locked(workspace: Workspace) -> Iterator[None]:
    """Hold the locks of all registries: pointer and ledger of a task belong together."""
    with contextlib.ExitStack() as locks:
        for name in workspace.tasks():
            locks.enter_context(Registry(workspace).lock(name))
        yield


def _add_all(archive: tarfile.TarFile, workspace: Workspace, made: Backup, kept: tuple[str, ...]) -> None:
    """Add files that are not in the archive yet."""
    left_out = [*cached_folders(workspace)]
    places = (place for pattern in kept for place in sorted(workspace.root.glob(pattern)))
    for path in (path for place in places for path in _files(place)):
        name = path.relative_to(workspace.root).as_posix()
        if name in made.hashes or any(path.is_relative_to(folder) for folder in left_out):
            continue
        with progress.status(f"backup: {len(made.hashes):,} files, {made.bytes / 1e6:,.0f} MB"):
            if path.suffix == DATABASE:
                _add_database(archive, made, path, name)
            elif not path.name.endswith(tuple(f"{DATABASE}{end}" for end in BESIDE_DATABASE)):
                with path.open("rb") as file:
                    _add(archive, made, file, name, path.stat().st_mode & 0o777)


def _files(place: Path) -> list[Path]:
    """Return a file, or the regular files below a folder; links and temporary files are left out."""
    found = [path for path in (sorted(place.rglob("*")) if place.is_dir() else [place]) if not path.is_symlink()]
    return [path for path in found if path.is_file() and not files.TEMPORARY.fullmatch(path.name)]


def cached_folders(workspace: Workspace) -> Iterator[Path]:
    """Yield folders that are complete in DVC's cache, which is in the archive."""
    objects = workspace.root / ".dvc" / "cache" / "files" / "md5"

    def path_of(digest: str) -> str:
        return str(objects / digest[:2] / digest[2:])

    for pointer in pointers(workspace):
        folder = pointer.with_suffix("")
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError):  # not a pointer: the folder is stored
            if not integrity.missing(path_of, [dvc.pointer(folder).md5]):
                yield folder


def pointers(workspace: Workspace) -> list[Path]:
    """Return DVC's pointers to raw data and packages."""
    return [path for place in CACHED for path in sorted((workspace.root / place).rglob("*.dvc"))]


def _add_database(archive: tarfile.TarFile, made: Backup, path: Path, name: str) -> None:
    """Add a consistent copy of a database of SQLite."""
    with files.temporary_folder("tiltyard-backup") as folder:
        copy = folder / path.name
        connections = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True), sqlite3.connect(copy)
        with contextlib.closing(connections[0]) as source, contextlib.closing(connections[1]) as target:
            source.backup(target)
        with copy.open("rb") as file:
            _add(archive, made, file, name, 0o644)


def _add(archive: tarfile.TarFile, made: Backup, file: IO[bytes], name: str, mode: int) -> None:
    """Add the bytes that a file has now; what a process appends meanwhile is left out."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = file.seek(0, io.SEEK_END), mode, int(datetime.now(UTC).timestamp())
    file.seek(0)
    reader = HashingReader(file)
    archive.addfile(entry, reader)
    made.hashes[name] = reader.hash.hexdigest()
    made.files, made.bytes = made.files + 1, made.bytes + entry.size


def _add_manifest(archive: tarfile.TarFile, made: Backup) -> None:
    content = {
        "format": FORMAT,
        "tiltyard": metadata.version("tiltyard"),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "hashes": made.hashes,
    }
    text = json.dumps(content).encode()
    entry = tarfile.TarInfo(MANIFEST)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))


class HashingReader:
    """A file of which the hash is computed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read, and add what was read to the hash."""
        content = self.file.read(size)
        self.hash.update(content)
        return content
