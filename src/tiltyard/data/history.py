"""The command `data`: list the versions of a task's raw data, compare two, or check one out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.data import dvc, versions
from tiltyard.data.diff import TableDiff, compare
from tiltyard.data.versions import Version
from tiltyard.errors import DataError, TiltyardError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

Read = Callable[[Path], "pd.DataFrame"]  # reads a folder of raw data
NOW = "now"  # the present content of data/raw/TASK, whether or not it is a version


def list_versions(workspace: Workspace, task: str, read: Read) -> list[dict[str, Any]]:
    """Return one entry for each version, oldest first; `rows` is None if neither cache nor remote has its files."""
    all_versions = versions.recorded(workspace, task)
    raw = workspace.raw(task)
    local_hash = files.sha256(raw) if raw.is_dir() else ""
    versions.record_rows(workspace, task, _count_rows(workspace, task, all_versions, read))
    return [
        {
            "data": version.data,
            "time": version.time,
            "rows": versions.rows(workspace, task, version),
            "bytes": version.bytes,
            "commit": versions.commit(workspace, task, version),
            "here": version.data == local_hash,
        }
        for version in all_versions
    ]


def diff(workspace: Workspace, task: str, read: Read, old: str | None = None, new: str | None = None) -> TableDiff:
    """Compare two versions; by default the present data with the version before."""
    all_versions = versions.recorded(workspace, task)
    now = files.sha256(workspace.raw(task)) if workspace.raw(task).is_dir() else ""
    before = [version for version in all_versions if version.data != now]
    if old is None and not before:
        raise DataError(f"{task} has one version so far", hint=f"list them: tiltyard data {task}")
    old_version = versions.find(workspace, task, old) if old else before[-1]
    names = [old_version.data[:12], NOW if new in (None, NOW) else versions.find(workspace, task, str(new)).data[:12]]
    frames = [_read_version(workspace, task, name, read) for name in names]
    return compare(task, (names[0], names[1]), (frames[0], frames[1]))


def checkout(workspace: Workspace, task: str, name: str) -> Version:
    """Put an earlier version into data/raw/TASK; refuse if that would lose edits that are not a version yet."""
    version, raw = versions.find(workspace, task, name), workspace.raw(task)
    if raw.is_dir() and dvc.changed(workspace, raw):
        raise DataError(
            f"data/raw/{task} holds edits that are not a version yet",
            hint=f"store them as a version: tiltyard fetch {task}; or drop them: rm -r data/raw/{task}",
        )
    dvc.checkout(workspace, raw, version.pointer)
    return version


def _count_rows(workspace: Workspace, task: str, all_versions: list[Version], read: Read) -> dict[str, int]:
    """Count the rows of versions that were not counted before."""
    counts = {}
    for version in all_versions:
        if versions.rows(workspace, task, version) is None:
            try:
                counts[version.data] = len(_read_version(workspace, task, version.data[:12], read))
            except TiltyardError:
                continue  # its files are lost or not a table: its `rows` stays None
    return counts


def _read_version(workspace: Workspace, task: str, name: str, read: Read) -> pd.DataFrame:
    """Read the data of a version: its table, or one row for each image."""
    if name == NOW:
        return read(workspace.raw(task))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / task
        dvc.copy_version(workspace, versions.find(workspace, task, name).pointer, folder)
        return read(folder)
