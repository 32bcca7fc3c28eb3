"""The command gc: remove old packages with their Bentos, old records, and cached files that nothing refers to.

Champions, the versions that a rollback would return to, running rollouts and the last challengers stay; so do the
ledger and every version of the data. What is removed is listed first; after a kill the same command removes the rest.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiltyard import files
from tiltyard.config import task_list
from tiltyard.maintenance import dvc_cache
from tiltyard.registry import rollout
from tiltyard.registry.registry import Registry, champion_history
from tiltyard.runtime.task_lock import task_lock
from tiltyard.serving.packaging import bento
from tiltyard.workspace import Workspace

KEEP = 5  # champions before the current one, and packages of the last decisions
RECORD_DAYS = 365.0
CACHE_DAYS = 30.0
DAY = 86_400.0
CACHES = ("features", "logs", "proven_services")  # of .tiltyard: they are made again when they are needed


@dataclass(frozen=True)
class Limits:
    """How much is kept."""

    keep: int = KEEP
    record_days: float = RECORD_DAYS
    cache_days: float = CACHE_DAYS


@dataclass(frozen=True)
class Garbage:
    """A file or folder that is no longer needed: its kind, why, and the bytes that are freed."""

    kind: str
    path: str
    reason: str
    bytes: int


def find(workspace: Workspace, limits: Limits) -> list[Garbage]:
    """Return what would be removed; nothing is changed."""
    return [garbage for _, garbage in _found(workspace, limits)]


def collect(workspace: Workspace, limits: Limits) -> list[Garbage]:
    """Remove it, while no command works on any task; return what was removed."""
    with contextlib.ExitStack() as locks:
        for name in _tasks(workspace):
            locks.enter_context(task_lock(workspace, name))
            locks.enter_context(Registry(workspace).lock(name))
        removed = []
        for path, garbage in _found(workspace, limits):
            _remove(path)
            removed.append(garbage)
        return removed


def _found(workspace: Workspace, limits: Limits) -> Iterator[tuple[Path, Garbage]]:
    """Find packages before cached files, which are unused once no package refers to them."""
    dropped = set[Path]()
    for task in _tasks(workspace):
        for path, reason in _packages(workspace, task, limits.keep):
            dropped.add(path)
            yield path, _garbage(workspace, "package", path, reason)
        yield from _records(workspace, task, limits.record_days)
    old = time.time() - limits.cache_days * DAY
    for path in (path for name in CACHES for path in _children(workspace.root / ".tiltyard" / name)):
        if _newest(path) < old:
            yield path, _garbage(workspace, "cache", path, f"not changed for {limits.cache_days:g} days")
    for path in dvc_cache.unused(workspace, dropped, old):
        yield path, _garbage(workspace, "DVC cache", path, "no pointer, data version or recent run refers to it")


def _packages(workspace: Workspace, task: str, keep: int) -> Iterator[tuple[Path, str]]:
    """Yield packages, their pointers and Bentos of versions that are not needed."""
    needed = _needed_versions(workspace, task, keep)
    places = (workspace.package(task, "x").parent, bento.folder(workspace, task, "x").parent)
    for path in (path for place in places for path in _children(place)):
        version = path.name.removesuffix(".dvc")
        if re.fullmatch(rollout.VERSION, version) and version not in needed:
            yield path, f"neither champion nor one of the {keep} before, nor in the last {keep} decisions"


def _needed_versions(workspace: Workspace, task: str, keep: int) -> set[str]:
    """Return the versions that serve, are tried, may be rolled back to, or were judged last."""
    registry = Registry(workspace)
    decisions, champion = registry.decisions(task), registry.champion(task)
    running = rollout.read(workspace.traffic(task))
    champions = [decision.version for decision in champion_history(decisions)][-keep - 1 :]
    judged = list(dict.fromkeys(decision.version for decision in reversed(decisions)))[: max(keep, 1)]
    current = [champion.version] if champion else []
    return {*current, *champions, *judged, *([running.version, running.champion] if running else [])}


def _records(workspace: Workspace, task: str, days: float) -> Iterator[tuple[Path, Garbage]]:
    """Yield recorded predictions and truths that were converted and are too old; logs are never touched."""
    old = time.time() - days * DAY
    for path in sorted((workspace.records / task).glob("*/*.parquet")):
        if path.stat().st_mtime < old:
            yield path, _garbage(workspace, "records", path, f"older than {days:g} days")


def _tasks(workspace: Workspace) -> list[str]:
    """Return the tasks of the project, and those that were removed but left packages, in the order of their locks."""
    left = (path.name for path in _children(workspace.serving / "packages") if task_list.NAME.fullmatch(path.name))
    return sorted({*workspace.tasks(), *left})


def _garbage(workspace: Workspace, kind: str, path: Path, reason: str) -> Garbage:
    return Garbage(
        kind, str(path.relative_to(workspace.root)), reason, sum(part.lstat().st_size for part in _all(path))
    )


def _children(folder: Path) -> Iterable[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _all(path: Path) -> list[Path]:
    """Return a file, or the files below a folder; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return [part for part in path.rglob("*") if not part.is_dir() or part.is_symlink()]
    return [path]


def _newest(path: Path) -> float:
    return max((part.lstat().st_mtime for part in [path, *_all(path)]), default=0.0)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        files.remove_folder(path)
    else:
        path.unlink(missing_ok=True)
