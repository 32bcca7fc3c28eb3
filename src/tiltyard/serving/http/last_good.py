"""The last good champion of each task: what the service answered with when the pointer was last in order.

A worker that starts while a pointer or its package is damaged serves this version instead. Each task has a small file
with the version, and a copy of the package beside it, since the package itself may be what is damaged or gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from tiltyard import files
from tiltyard.errors import PackageError
from tiltyard.modeling.inference.predictor import version as version_of
from tiltyard.registry import manifest, rollout

MAX_DISK_SHARE = 0.1  # of the free disk space that a copy may take: in a container it may be a few megabytes of memory
ABANDONED_SECONDS = 3600.0  # seconds after which a half-written copy is what a kill left
COPIES_KEPT = 2  # copies of a task: another worker may still be opening the one before

VERSION = re.compile(rollout.VERSION)


class LastGood:
    """A folder with a file and copies for each task. Several workers may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_environment(cls, root: Path, environment: Mapping[str, str] = os.environ) -> LastGood | None:
        """Return it as the environment of the service says, or None if the service has no folder to write to."""
        if folder := environment.get("TILTYARD_STATE"):
            return cls(Path(folder))
        if home := environment.get("BENTOML_HOME"):
            return cls(Path(home) / "champions" / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12])
        return None

    def tasks(self) -> list[str]:
        """Return the tasks of which a version is known."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))

    def version(self, task: str) -> str | None:
        """Return the version that was served last, if that is known."""
        return self._read_saved(task)[0]

    def _read_saved(self, task: str) -> tuple[str | None, str]:
        """Return the version that was served last, and the hash of the other files of its package."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            found = files.read_json(self._file(task))
            version, digest = found["version"], found["files"]
            if isinstance(version, str) and VERSION.fullmatch(version) and isinstance(digest, str):
                return version, digest
        return None, ""

    def copy(self, task: str, version: str) -> Path:
        """Return where the copy of a package is, if there is one."""
        return self.folder / task / version

    def folders(self, task: str, root: Path) -> list[Path]:
        """Return where the version that was served last may be opened: its package below `root`, and the copy of it."""
        version, digest = self._read_saved(task)
        if version is None:
            return []
        places = (root / "packages" / task / version, self.copy(task, version))
        return [folder for folder in places if _is_whole(folder, version) and manifest.digest(folder) == digest]

    def save(self, task: str, version: str, package: Path) -> None:
        """Copy a package that is served, then name it in the task's file."""
        if not _is_whole(self.copy(task, version), version):
            self._copy(package, self.copy(task, version))
        if self.version(task) != version:
            kept = self.copy(task, version) if self.copy(task, version).is_dir() else package
            files.write_json(self._file(task), {"task": task, "version": version, "files": manifest.digest(kept)})
        self._clean(task, version)

    def _file(self, task: str) -> Path:
        return self.folder / f"{task}.json"

    def _copy(self, package: Path, target: Path) -> None:
        """Copy a package whole or not at all; without room for it, the version alone is kept."""
        target.parent.mkdir(parents=True, exist_ok=True)
        size = sum(path.stat().st_size for path in package.rglob("*"))
        if size > MAX_DISK_SHARE * shutil.disk_usage(target.parent).free:
            return
        temporary = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        temporary.mkdir()
        try:
            made = shutil.copytree(package, temporary / "package")
            if not _is_whole(made, target.name):
                raise PackageError(f"{package} was changed since it was opened: expected version {target.name}")
            os.utime(made)  # the age of the copy, not of the package
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):  # another worker was faster
                made.rename(target)
            files.sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _clean(self, task: str, version: str) -> None:
        """Remove older copies, and what a kill left."""
        with contextlib.suppress(OSError):
            found = sorted((self.folder / task).iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            copies = [path for path in found if path.name != version and not path.name.startswith(".")]
            halves = [path for path in found if path.name.startswith(".")]
            old = [path for path in halves if path.stat().st_mtime < time.time() - ABANDONED_SECONDS]
            for path in [*copies[COPIES_KEPT - 1 :], *old]:
                shutil.rmtree(path, ignore_errors=True)


def _is_whole(folder: Path, version: str) -> bool:
    """Return whether a copy is there and holds the model that it is named for."""
    try:
        return (folder / "schema.json").is_file() and version_of(folder) == version
    except OSError:
        return False
