"""Versions of raw data, a line each in data/versions/TASK.jsonl; the command `data` lists, compares, restores."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from operator import not_
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tiltyard import files
from tiltyard.data import dvc
from tiltyard.data.diff import TableDiff, compare
from tiltyard.data.dvc import Pointer
from tiltyard.data.joins.joined_table import checksums
from tiltyard.errors import DataError, TiltyardError
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

MIN_PREFIX = 4  # characters of a hash by which a version can be named

Read = Callable[[Path], "pd.DataFrame"]  # reads a folder of raw data
NOW = "now"  # the present content of data/raw/TASK, whether or not it is a version


class Version(Settings):
    """One version of the data: its hash, as in reports and verdicts, and the pointer by which DVC restores it."""

    data: str
    time: str
    bytes: int
    files: int
    pointer: Pointer
    hashes: dict[str, str] = Field(
        default_factory=dict, exclude_if=not_, description="The SHA-256 of each file, if tables are joined."
    )

    def changed(self, before: Version | None) -> list[str]:
        """Return the files that differ from those of an earlier version; none without joins."""
        earlier = before.hashes if before else {}
        return [name for name in sorted({*self.hashes, *earlier}) if self.hashes.get(name) != earlier.get(name)]


def record(
    workspace: Workspace, task: str, data: str, pointer: Pointer, hashes: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Add the present content of data/raw/TASK to the list of versions, if its hash is new."""
    before = recorded(workspace, task)
    if data in {version.data for version in before}:
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    version = Version(
        data=data, time=now, bytes=pointer.size, files=pointer.nfiles, pointer=pointer, hashes=dict(hashes)
    )
    lines = [entry.model_dump_json() for entry in (*before, version)]
    files.write_text(workspace.versions(task), "\n".join(lines) + "\n")


def recorded(workspace: Workspace, task: str) -> list[Version]:
    """Return all versions, oldest first."""
    path = workspace.versions(task)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        return [Version.model_validate_json(line) for line in lines]
    except ValueError as error:
        place = path.relative_to(workspace.root)
        text = f"{place}: expected one version in each line: {' '.join(str(error).split())[:200]}"
        raise DataError(text, hint=f"restore it: git checkout {place}") from None


def find(workspace: Workspace, task: str, name: str) -> Version:
    """Return the version whose hash begins with `name`; raise if there is none, or several."""
    all_versions = recorded(workspace, task)
    matches = [version for version in all_versions if version.data.startswith(name) and len(name) >= MIN_PREFIX]
    if len(matches) != 1:
        many = "several versions match" if matches else "no version matches"
        raise DataError(
            f"version of {task}: expected the first {MIN_PREFIX} or more characters of one of "
            f"{', '.join(version.data[:12] for version in all_versions) or 'none yet'}; received {name}: {many}",
            hint=f"list them: tiltyard data {task}",
        )
    return matches[0]


def commit(workspace: Workspace, task: str, version: Version) -> str | None:
    """Return the first git commit whose pointer names a version; None without such a commit or without git."""
    pointer = f"data/raw/{task}.dvc"
    command = ["git", "-C", str(workspace.root), "log", "--format=%h", f"-S{version.pointer.md5}", "--", pointer]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return result.stdout.split()[-1] if result.returncode == 0 and result.stdout.strip() else None


def rows(workspace: Workspace, task: str, version: Version) -> int | None:
    """Return the number of rows if it is recorded, else None."""
    counts = _counts(workspace, task)
    return counts.get(version.data)


def record_rows(workspace: Workspace, task: str, counts: dict[str, int]) -> None:
    """Record numbers of rows, since counting them means reading the whole version."""
    after = {**_counts(workspace, task), **counts}
    if after != _counts(workspace, task):
        files.write_json(workspace.state(task, "data") / "rows.json", after)


def _counts(workspace: Workspace, task: str) -> dict[str, int]:
    path = workspace.state(task, "data") / "rows.json"
    return {key: int(value) for key, value in json.loads(path.read_bytes()).items()} if path.is_file() else {}


def list_versions(workspace: Workspace, task: str, read: Read) -> list[dict[str, Any]]:
    """Return one entry for each version, oldest first; `rows` is None if neither cache nor remote has its files."""
    all_versions = recorded(workspace, task)
    raw = workspace.raw(task)
    local_hash = files.sha256(raw) if raw.is_dir() else ""
    record_rows(workspace, task, _count_rows(workspace, task, all_versions, read))
    before = [None, *all_versions]
    return [
        {
            "data": version.data,
            "time": version.time,
            "rows": rows(workspace, task, version),
            "bytes": version.bytes,
            "commit": commit(workspace, task, version),
            "here": version.data == local_hash,
            **({"changed": version.changed(earlier)} if version.hashes else {}),
        }
        for version, earlier in zip(all_versions, before, strict=False)
    ]


def diff(workspace: Workspace, task: str, read: Read, old: str | None = None, new: str | None = None) -> TableDiff:
    """Compare two versions; by default the present data with the version before."""
    all_versions = recorded(workspace, task)
    now = files.sha256(workspace.raw(task)) if workspace.raw(task).is_dir() else ""
    before = [version for version in all_versions if version.data != now]
    if old is None and not before:
        raise DataError(f"{task} has one version so far", hint=f"list them: tiltyard data {task}")
    old_version = find(workspace, task, old) if old else before[-1]
    names = [old_version.data[:12], NOW if new in (None, NOW) else find(workspace, task, str(new)).data[:12]]
    frames = [_read_version(workspace, task, name, read) for name in names]
    compared = compare(task, (names[0], names[1]), (frames[0], frames[1]))
    new_version = _here(workspace, task) if names[1] == NOW else find(workspace, task, names[1])
    return replace(compared, files=new_version.changed(old_version) if new_version else [])


def _here(workspace: Workspace, task: str) -> Version | None:
    """Return the present data as a version with the hashes of its files; None if none has any before."""
    known = [version for version in recorded(workspace, task) if version.hashes]
    return known[-1].model_copy(update={"hashes": checksums(workspace.raw(task))}) if known else None


def checkout(workspace: Workspace, task: str, name: str) -> Version:
    """Put an earlier version into data/raw/TASK; refuse if that would lose edits that are not a version yet."""
    version, raw = find(workspace, task, name), workspace.raw(task)
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
        if rows(workspace, task, version) is None:
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
        dvc.copy_version(workspace, find(workspace, task, name).pointer, folder)
        return read(folder)
