"""Versions of a task's raw data: one line each in data/versions/TASK.jsonl; DVC's cache and remote hold the files."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime

from tiltyard import files
from tiltyard.data.dvc import Pointer
from tiltyard.errors import DataError
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

MIN_PREFIX = 4  # characters of a hash by which a version can be named


class Version(Settings):
    """One version of the data: its hash, as in reports and verdicts, and the pointer by which DVC restores it."""

    data: str
    time: str
    bytes: int
    files: int
    pointer: Pointer


def record(workspace: Workspace, task: str, data: str, pointer: Pointer) -> None:
    """Add the present content of data/raw/TASK to the list of versions, if its hash is new."""
    before = recorded(workspace, task)
    if data in {version.data for version in before}:
        return
    now = datetime.now(UTC).isoformat(timespec="seconds")
    version = Version(data=data, time=now, bytes=pointer.size, files=pointer.nfiles, pointer=pointer)
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
