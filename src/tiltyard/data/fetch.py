"""The command `fetch`: get raw files from a source, record their checksums and a DVC version, keep edits by hand."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tiltyard import files
from tiltyard.data import dvc, stand_in, versions
from tiltyard.data.joins import joined_table
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError, TiltyardError
from tiltyard.workspace import Workspace

Sums = dict[str, str]  # SHA-256 by file name


class Joined(Protocol):
    """A joined table, as far as `fetch` uses it."""

    @property
    def source(self) -> Source:
        """The source of its raw data."""


class Fetchable(Protocol):
    """The attributes of a task that `fetch` uses."""

    @property
    def name(self) -> str:
        """The name of the task and of its folder."""

    @property
    def source(self) -> Source:
        """The source of its raw data."""

    @property
    def joins(self) -> Mapping[str, Joined]:
        """The tables that are joined to it."""


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
    before, recorded = joined_table.checksums(raw), _recorded(workspace, task.name)
    version = _version(task)
    if version and before == recorded and version == _recorded_version(workspace, task.name) and not force:
        return _stored(workspace, task, "same")
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
    return _stored(workspace, task, "edited" if edited else "same" if before == sums else "new")


def _stored(workspace: Workspace, task: Fetchable, state: Literal["new", "same", "edited"]) -> Fetched:
    """Store the raw data as a version unless that was done before."""
    raw = workspace.raw(task.name)
    if dvc.changed(workspace, raw):
        dvc.add(workspace, raw)
    data = files.sha256(raw)
    hashes = joined_table.checksums(raw) if task.joins else {}
    versions.record(workspace, task.name, data, dvc.pointer(raw), hashes)
    return Fetched(data, state, stand_in.reason(raw))


def _version(task: Fetchable) -> str:
    """Return a hash of all sources' settings, code and versions; empty if the data must be fetched to know them."""
    sources = [task.source, *(join.source for join in task.joins.values())]
    known = [source.version() for source in sources]
    if not all(known):
        return ""
    folders = (Path(__file__).with_name(name) for name in ("sources", "images"))
    code = files.sha256(*(path for folder in folders for path in sorted(folder.glob("*.py"))))
    settings = " ".join(source.model_dump_json() for source in sources)
    return hashlib.sha256(f"{' '.join(known)} {code} {settings}".encode()).hexdigest()


def _recorded_version(workspace: Workspace, task: str) -> str:
    path = workspace.fetched(task)
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def write_raw(task: Fetchable, folder: Path, workspace: Workspace) -> None:
    """Let each source write its files: the main one into the folder, each joined one into a folder of its own."""
    task.source.fetch(folder, workspace)
    for name, join in task.joins.items():
        inside = folder / joined_table.FOLDER / name
        inside.mkdir(parents=True)
        try:
            join.source.fetch(inside, workspace)
        except (ImportError, OSError, ValueError, LookupError, TiltyardError) as error:
            reason = error.message if isinstance(error, TiltyardError) else f"{type(error).__name__}: {error}"
            hint = error.hint if isinstance(error, TiltyardError) else ""
            raise SourceError(f"joins.{name}: {reason}", hint=hint) from None
        joined_table.joined_file(folder, name)


def _fetch_into(workspace: Workspace, task: Fetchable, folder: Path) -> Sums:
    """Let the sources write into a folder; return the checksums of its files, or raise if there are none."""
    name = f"source.kind {task.source.kind}"
    try:
        write_raw(task, folder, workspace)
    except (ImportError, OSError, ValueError, LookupError) as error:
        raise SourceError(
            f"{name}: could not be fetched: {type(error).__name__}: {error}",
            hint=f"try again: tiltyard fetch {task.name}",
        ) from None
    sums = joined_table.checksums(folder)
    if not sums:
        raise SourceError(
            f"{name}: expected files; it wrote none", hint=f"see src/tiltyard/data/sources/{task.source.kind}.py"
        )
    return sums


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
