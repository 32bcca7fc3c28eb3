"""Files in DVC's cache that nothing refers to: no pointer, no version of the data, no stage, no recent run.

`dvc gc --workspace` would also remove earlier versions of the data, which `tiltyard data checkout` restores.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from tiltyard.data import integrity, versions
from tiltyard.workspace import Workspace

DIGEST = re.compile(r"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\b")  # as in pointers, dvc.lock and records of runs
OBJECT = re.compile(r"[0-9a-f]{30}(?:\.dir)?")  # the name of a file in the cache, below the first two characters


def unused(workspace: Workspace, removed: set[Path], old: float) -> Iterator[Path]:
    """Yield unused files and records of old runs; `removed` are pointers that will be removed, `old` is a time."""
    cache = workspace.root / ".dvc" / "cache"
    if not cache.is_dir() or _is_elsewhere(workspace):
        return
    runs = [path for path in cache.glob("runs/*/*/*") if path.is_file()]
    old_runs = {path for path in runs if path.stat().st_mtime < old}
    yield from sorted(old_runs)
    objects = cache / "files" / "md5"
    needed = _needed(workspace, objects, [path for path in runs if path not in old_runs], removed)
    for path in sorted(objects.glob("[0-9a-f][0-9a-f]/*")):
        if OBJECT.fullmatch(path.name) and f"{path.parent.name}{path.name}" not in needed and _changed(path) < old:
            yield path


def _needed(workspace: Workspace, objects: Path, runs: list[Path], removed: set[Path]) -> set[str]:
    """Return the hashes that pointers, dvc.lock, versions of the data and recent runs name, with those inside."""
    pointers = {*workspace.root.glob("data/raw/*.dvc"), *workspace.serving.glob("packages/*/*.dvc")} - removed
    named = {digest for path in (*pointers, workspace.root / "dvc.lock", *runs) for digest in _digests(path)}
    for path in workspace.versions("x").parent.glob("*.jsonl"):
        named |= {version.pointer.md5 for version in versions.recorded(workspace, path.stem)}
    inside = (integrity.contents(lambda each: str(objects / each[:2] / each[2:]), digest) for digest in named)
    return named | {digest for contents in inside for digest in contents}


def _digests(path: Path) -> list[str]:
    return DIGEST.findall(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else []


def _changed(path: Path) -> float:
    """Return when the file came here: a moved file keeps the time of its content."""
    return path.lstat().st_ctime


def _is_elsewhere(workspace: Workspace) -> bool:
    """Return whether DVC is told to keep its cache in another folder, which other projects may share."""
    parser = configparser.ConfigParser()
    parser.read([workspace.root / ".dvc" / name for name in ("config", "config.local")], encoding="utf-8")
    return parser.has_option("cache", "dir")
