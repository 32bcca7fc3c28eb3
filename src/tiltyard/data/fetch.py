"""The command `fetch`: get raw files from a source, record their checksums and a DVC version, keep edits by hand."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tiltyard import files
from tiltyard.data import dvc, stand_in, versions
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

Sums = dict[str, str]  # SHA-256 by file name


class Fetchable(Protocol):
    """The attributes of a task that `fetch` uses."""

    @property
    def name(self) -> str:
        """The name of the task and of its folder."""

    @property
    def source(self) -> Source:
        """The source of its raw data."""


@dataclass(frozen=True)
class Fetched:
    """The hash of data/raw/TASK now, and whether the data are new, the same as before, or edited by hand."""

    data: str
    state: Literal["new", "same", "edited"]
    stand_in: str = ""  # why the data are generated, if they stand in for real files


def fetch(workspace: Workspace, task: Fetchable, *, force: bool = False) -> Fetched:
    """Get raw data, store it as a version, and push the version to the default remote."""
    fetched = get(workspace, task, force=force)
    dvc.push(workspace, workspace.raw(task.name))
    return fetched


def get(workspace: Workspace, task: Fetchable, *, force: bool = False) -> Fetched:
    """Update data/raw/TASK from its source and store a version; keep edits since the last fetch unless `force`."""
    raw = workspace.raw(task.name)
    before, recorded = _checksums_of(raw), _recorded(workspace, task.name)
    version = _version(task.source)
    if version and before == recorded and version == _recorded_version(workspace, task.name) and not force:
        return _stored(workspace, task.name, "same")
    with tempfile.TemporaryDirectory() as temporary:
        fresh = Path(temporary)
        sums = _fetch_into(workspace, task, fresh)
        edited = bool(before) and before not in (sums, recorded) and not force
        if not edited and before != sums:
            with files.atomic_folder(raw) as folder:
                shutil.copytree(fresh, folder, dirs_exist_ok=True)
    if not edited:
        _record(workspace, task.name, sums)
        files.write_text(workspace.fetched(task.name), version)
    return _stored(workspace, task.name, "edited" if edited else "same" if before == sums else "new")


def _stored(workspace: Workspace, task: str, state: Literal["new", "same", "edited"]) -> Fetched:
    """Store the raw data as a version unless that was done before."""
    raw = workspace.raw(task)
    if dvc.changed(workspace, raw):
        dvc.add(workspace, raw)
    data = files.sha256(raw)
    versions.record(workspace, task, data, dvc.pointer(raw))
    return Fetched(data, state, stand_in.reason(raw))


def _version(source: Source) -> str:
    """Return a hash of the source's settings, code and version; empty if the data must be fetched to know them."""
    if not (version := source.version()):
        return ""
    folders = (Path(__file__).with_name(name) for name in ("sources", "images"))
    code = files.sha256(*(path for folder in folders for path in sorted(folder.glob("*.py"))))
    return hashlib.sha256(f"{version} {code} {source.model_dump_json()}".encode()).hexdigest()


def _recorded_version(workspace: Workspace, task: str) -> str:
    path = workspace.fetched(task)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _fetch_into(workspace: Workspace, task: Fetchable, folder: Path) -> Sums:
    """Let the source write into a folder; return the checksums of its files, or raise if there are none."""
    name = f"source.kind {task.source.kind}"
    try:
        task.source.fetch(folder, workspace)
    except (ImportError, OSError, ValueError, LookupError) as error:
        raise SourceError(
            f"{name}: could not be fetched: {type(error).__name__}: {error}",
            hint=f"try again: tiltyard fetch {task.name}",
        ) from None
    sums = _checksums_of(folder)
    if not sums:
        raise SourceError(
            f"{name}: expected files; it wrote none", hint=f"see src/tiltyard/data/sources/{task.source.kind}.py"
        )
    return sums


def _checksums_of(folder: Path) -> Sums:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): files.file_digest(path).hex() for path in paths}


def _checksum_file(workspace: Workspace, task: str) -> Path:
    return workspace.raw(task).with_name(f"{task}.sha256")


def _record(workspace: Workspace, task: str, sums: Sums) -> None:
    """Write the checksums in the format of sha256sum, so that `sha256sum -c` can check them."""
    if sums != _recorded(workspace, task):
        lines = [f"{digest}  {task}/{name}\n" for name, digest in sums.items()]
        files.write_text(_checksum_file(workspace, task), "".join(lines))


def _recorded(workspace: Workspace, task: str) -> Sums:
    path = _checksum_file(workspace, task)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.split("  ", 1) for line in lines if "  " in line)
    return {name.removeprefix(f"{task}/"): digest for digest, name in pairs}
