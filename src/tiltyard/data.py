"""The verb data: which versions of a task's raw data there are, what changed between two, and the way back to one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files, plugins, reading, store, versions
from tiltyard.change import Change, change
from tiltyard.errors import DataError, TiltyardError
from tiltyard.task import Task
from tiltyard.versions import Version
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

NOW = "now"  # what lies in data/raw/TASK, a version or not


def data(workspace: Workspace, task: Task) -> list[dict[str, Any]]:
    """Give a row a version, oldest first; rows are None where its files are neither here nor in the remote."""
    known = versions.recorded(workspace, task.name)
    raw = workspace.raw(task.name)
    here = files.sha256(raw) if raw.is_dir() else ""
    versions.keep_rows(workspace, task.name, _counted(workspace, task, known))
    return [
        {
            "data": version.data,
            "time": version.time,
            "rows": versions.rows(workspace, task.name, version),
            "bytes": version.bytes,
            "commit": versions.commit(workspace, task.name, version),
            "here": version.data == here,
        }
        for version in known
    ]


def diff(workspace: Workspace, task: Task, old: str | None = None, new: str | None = None) -> Change:
    """Say what changed between two versions: by default what lies there now against the version before."""
    known = versions.recorded(workspace, task.name)
    now = files.sha256(workspace.raw(task.name)) if workspace.raw(task.name).is_dir() else ""
    before = [version for version in known if version.data != now]
    if old is None and not before:
        raise DataError(f"{task.name} has one version so far", hint=f"list them: tiltyard data {task.name}")
    one = versions.named(workspace, task.name, old) if old else before[-1]
    names = [one.data[:12], NOW if new in (None, NOW) else versions.named(workspace, task.name, str(new)).data[:12]]
    frames = [_frame(workspace, task, name) for name in names]
    return change(task.name, (names[0], names[1]), (frames[0], frames[1]))


def checkout(workspace: Workspace, task: Task, name: str) -> Version:
    """Put an earlier version into data/raw/TASK; edits that are no version yet are refused to be lost."""
    version, raw = versions.named(workspace, task.name, name), workspace.raw(task.name)
    if raw.is_dir() and store.changed(workspace, raw):
        raise DataError(
            f"data/raw/{task.name} holds edits that are no version yet",
            hint=f"make them one: tiltyard fetch {task.name}; or drop them: rm -r data/raw/{task.name}",
        )
    store.checkout(workspace, raw, version.pointer)
    return version


def _counted(workspace: Workspace, task: Task, known: list[Version]) -> dict[str, int]:
    """Count the rows of versions that were not counted before."""
    counts = {}
    for version in known:
        if versions.rows(workspace, task.name, version) is None:
            try:
                counts[version.data] = len(_frame(workspace, task, version.data[:12]))
            except TiltyardError:
                continue  # its files are gone, or are no table: the line says so
    return counts


def _frame(workspace: Workspace, task: Task, name: str) -> pd.DataFrame:
    """Read a version as it stands: its table, or a row a picture."""
    if name == NOW:
        return _read(task, workspace.raw(task.name))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / task.name
        store.bring(workspace, versions.named(workspace, task.name, name).pointer, folder)
        return _read(task, folder)


def _read(task: Task, folder: Path) -> pd.DataFrame:
    form = plugins.load("forms", task.form)()
    if task.form == "image":
        facts: pd.DataFrame = form.facts(task, folder)
        return facts
    return reading.read(form.open(folder), task.source.dialect).frame
