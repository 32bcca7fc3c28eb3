"""Remove a task from the project; its ledger, packages and data stay unless --all is given."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tiltyard.config import loader, task_list
from tiltyard.data import dvc
from tiltyard.errors import TaskError
from tiltyard.registry.registry import Registry
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Removal:
    """Removed and kept paths, relative to the project."""

    task: str
    removed: list[str]
    kept: list[str]


def plan(workspace: Workspace, name: str, *, everything: bool = False) -> Removal:
    """Return what would be removed and kept; nothing is changed."""
    if name not in {*workspace.tasks(), *task_list.listed(workspace)}:
        raise loader.unknown_task_error(workspace, name)
    for task_name in workspace.tasks():
        if task_name != name and _base_task(workspace, task_name) == name:
            raise TaskError(
                f"{task_name} is based on the model of {name}", f"remove it first: tiltyard remove {task_name}"
            )
    outputs, records = _outputs(workspace, name), _records(workspace, name)
    to_remove = [*outputs, *records] if everything else outputs
    listed = ["params.yaml: its entry"] if name in task_list.listed(workspace) else []
    kept_paths = [] if everything else [_relative(workspace, path) for path in records if _exists(path)]
    return Removal(name, [*(_relative(workspace, path) for path in to_remove if _exists(path)), *listed], kept_paths)


def remove(workspace: Workspace, name: str, *, everything: bool = False) -> Removal:
    """Remove a task, once no command works on it; after a kill the same command finishes the removal."""
    plan(workspace, name, everything=everything)  # refuses an unknown name before waiting for the lock
    with task_lock(workspace, name):
        removal = plan(workspace, name, everything=everything)
        _remove(workspace, name, everything=everything)
        workspace.work_lock(name).unlink(missing_ok=True)
    return removal


def _remove(workspace: Workspace, name: str, *, everything: bool) -> None:
    registry = Registry(workspace)
    with registry.lock(name):
        if not everything:
            registry.repair(name)  # writes a decision that only the pointer holds into the ledger
        for path in [*_outputs(workspace, name), *(_records(workspace, name) if everything else [])]:
            _delete(path)
        workspace.lock(name).unlink(missing_ok=True)
    dvc.remove_stages(workspace, name)
    task_list.remove(workspace, name)


def _base_task(workspace: Workspace, name: str) -> str:
    """Return the task whose model this one is based on; empty if its file cannot be read."""
    return "" if loader.find_error(workspace, name) else loader.load(workspace, name).model.base_task


def _outputs(workspace: Workspace, name: str) -> list[Path]:
    """List the task file, its outputs, and the files that make the service serve it."""
    search = workspace.search(name)
    return [
        workspace.traffic(name),
        workspace.champion(name),
        workspace.root / "out" / name,
        workspace.logs(name),
        workspace.root / ".tiltyard" / "state" / name,
        workspace.root / ".tiltyard" / "stages" / name,
        *(search.with_name(f"{search.name}{end}") for end in ("", "-journal", "-wal", "-shm")),
        search.with_suffix(""),
        workspace.cells(name),
        workspace.task_file(name),
    ]


def _records(workspace: Workspace, name: str) -> list[Path]:
    """List data, seals, ledger, packages and recorded predictions, which no command can create again."""
    raw, ledger = workspace.raw(name), workspace.ledger(name)
    return [
        *dict.fromkeys([ledger, *sorted(ledger.parent.glob(f"{name}.*"))]),  # and its head
        workspace.root / "serving" / "packages" / name,
        workspace.seal(name),
        workspace.versions(name),
        raw.with_name(f"{raw.name}.dvc"),
        raw,
        workspace.records / name,
    ]


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _relative(workspace: Workspace, path: Path) -> str:
    return str(path.relative_to(workspace.root))


def _delete(path: Path) -> None:
    """Delete a file, link or folder; a link's target stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
