"""Last good version: a copy of each task's champion that was last served, as a fallback at startup.

A worker that starts while a champion pointer or its package is damaged serves this version instead. Each task has a
small file with the version and, next to it, a copy of the package, since the package itself may be damaged or missing.
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

MAX_DISK_SHARE = 0.1  # of the free space for a copy: in a container it may be a few megabytes of memory
ABANDONED_SECONDS = 3600.0  # after which an incomplete copy is the rest of a killed process
COPIES_KEPT = 2  # of a task: another worker may still be loading the previous one

VERSION = re.compile(rollout.VERSION)


class LastGood:
    """A folder with a file and copies of packages for each task. Several workers may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_environment(cls, root: Path, environment: Mapping[str, str] = os.environ) -> LastGood | None:
        """Return the folder that environment variables name; None if there is none to write to."""
        if folder := environment.get("TILTYARD_STATE"):
            return cls(Path(folder))
        if home := environment.get("BENTOML_HOME"):
            return cls(Path(home) / "champions" / hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12])
        return None

    def tasks(self) -> list[str]:
        """Return the tasks that have a last good version."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))

    def version(self, task: str) -> str | None:
        """Return the version of a task that was served last, or None."""
        return self._read_saved(task)[0]

    def _read_saved(self, task: str) -> tuple[str | None, str]:
        """Return the version that was served last, and the digest of the other files of its package."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            saved = files.read_json(self._file(task))
            version, digest = saved["version"], saved["files"]
            if isinstance(version, str) and VERSION.fullmatch(version) and isinstance(digest, str):
                return version, digest
        return None, ""

    def copy(self, task: str, version: str) -> Path:
        """Return the path of the copy of a package."""
        return self.folder / task / version

    def folders(self, task: str, root: Path) -> list[Path]:
        """Return the valid folders of the last good version: its package below `root`, and the copy."""
        version, digest = self._read_saved(task)
        if version is None:
            return []
        candidates = (root / "packages" / task / version, self.copy(task, version))
        return [folder for folder in candidates if _is_complete(folder, version) and manifest.digest(folder) == digest]

    def save(self, task: str, version: str, package: Path) -> None:
        """Copy a served package, then write its version into the file of the task."""
        if not _is_complete(self.copy(task, version), version):
            self._copy(package, self.copy(task, version))
        if self.version(task) != version:
            source = self.copy(task, version) if self.copy(task, version).is_dir() else package
            files.write_json(self._file(task), {"task": task, "version": version, "files": manifest.digest(source)})
        self._clean(task, version)

    def _file(self, task: str) -> Path:
        return self.folder / f"{task}.json"

    def _copy(self, package: Path, target: Path) -> None:
        """Copy a package atomically; do nothing if there is not enough disk space."""
        target.parent.mkdir(parents=True, exist_ok=True)
        size = sum(path.stat().st_size for path in package.rglob("*"))
        if size > MAX_DISK_SHARE * shutil.disk_usage(target.parent).free:
            return
        temporary = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        temporary.mkdir()
        try:
            copied = shutil.copytree(package, temporary / "package")
            if not _is_complete(copied, target.name):
                raise PackageError(f"{package} was changed since it was loaded: expected version {target.name}")
            os.utime(copied)  # the time of the copy, not of the package
            shutil.rmtree(target, ignore_errors=True)
            with contextlib.suppress(OSError):  # another worker has made the same copy
                copied.rename(target)
            files.sync_folder(target.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _clean(self, task: str, version: str) -> None:
        """Remove older copies, and incomplete copies of killed processes."""
        with contextlib.suppress(OSError):
            entries = sorted((self.folder / task).iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
            copies = [path for path in entries if path.name != version and not path.name.startswith(".")]
            incomplete = [path for path in entries if path.name.startswith(".")]
            old = [path for path in incomplete if path.stat().st_mtime < time.time() - ABANDONED_SECONDS]
            for path in [*copies[COPIES_KEPT - 1 :], *old]:
                shutil.rmtree(path, ignore_errors=True)


def _is_complete(folder: Path, version: str) -> bool:
    """Return whether a folder holds the complete package of a version."""
    try:
        return (folder / "schema.json").is_file() and version_of(folder) == version
    except OSError:
        return False
