"""The verb data: which versions of a task's raw data there are, what changed between two, and the way back to one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.data import dvc, versions
from tiltyard.data.diff import TableDiff, change
from tiltyard.data.versions import Version
from tiltyard.errors import DataError, TiltyardError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

Read = Callable[[Path], "pd.DataFrame"]  # reads a folder of raw data as it stands
NOW = "now"  # what lies in data/raw/TASK, a version or not


def data(workspace: Workspace, task: str, read: Read) -> list[dict[str, Any]]:
    """Return a row a version, oldest first; rows are None where its files are neither here nor in the remote."""
    known = versions.recorded(workspace, task)
    raw = workspace.raw(task)
    here = files.sha256(raw) if raw.is_dir() else ""
    versions.keep_rows(workspace, task, _counted(workspace, task, known, read))
    return [
        {
            "data": version.data,
            "time": version.time,
            "rows": versions.rows(workspace, task, version),
            "bytes": version.bytes,
            "commit": versions.commit(workspace, task, version),
            "here": version.data == here,
        }
        for version in known
    ]


def diff(workspace: Workspace, task: str, read: Read, old: str | None = None, new: str | None = None) -> TableDiff:
    """Return what changed between two versions: by default what lies there now against the version before."""
    known = versions.recorded(workspace, task)
    now = files.sha256(workspace.raw(task)) if workspace.raw(task).is_dir() else ""
    before = [version for version in known if version.data != now]
    if old is None and not before:
        raise DataError(f"{task} has one version so far", hint=f"list them: tiltyard data {task}")
    one = versions.named(workspace, task, old) if old else before[-1]
    names = [one.data[:12], NOW if new in (None, NOW) else versions.named(workspace, task, str(new)).data[:12]]
    frames = [_frame(workspace, task, name, read) for name in names]
    return change(task, (names[0], names[1]), (frames[0], frames[1]))


def checkout(workspace: Workspace, task: str, name: str) -> Version:
    """Put an earlier version into data/raw/TASK; edits that are no version yet are refused to be lost."""
    version, raw = versions.named(workspace, task, name), workspace.raw(task)
    if raw.is_dir() and dvc.changed(workspace, raw):
        raise DataError(
            f"data/raw/{task} holds edits that are no version yet",
            hint=f"make them one: tiltyard fetch {task}; or drop them: rm -r data/raw/{task}",
        )
    dvc.checkout(workspace, raw, version.pointer)
    return version


def _counted(workspace: Workspace, task: str, known: list[Version], read: Read) -> dict[str, int]:
    """Count the rows of versions that were not counted before."""
    counts = {}
    for version in known:
        if versions.rows(workspace, task, version) is None:
            try:
                counts[version.data] = len(_frame(workspace, task, version.data[:12], read))
            except TiltyardError:
                continue  # its files are gone, or are no table: the line says so
    return counts


def _frame(workspace: Workspace, task: str, name: str, read: Read) -> pd.DataFrame:
    """Read a version as it stands: its table, or a row a picture."""
    if name == NOW:
        return read(workspace.raw(task))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / task
        dvc.copy_version(workspace, versions.named(workspace, task, name).pointer, folder)
        return read(folder)
