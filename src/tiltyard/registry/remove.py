"""The verb remove: take a task out of the project; what was decided about it stays, unless all is to go."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tiltyard import processes
from tiltyard.config import loader, task_list
from tiltyard.data import dvc
from tiltyard.errors import TaskError
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Removal:
    """What is removed, and what stays, as paths below the project."""

    task: str
    removed: list[str]
    kept: list[str]


def plan(workspace: Workspace, name: str, *, everything: bool = False) -> Removal:
    """Return what would go and what would stay; nothing is touched."""
    if name not in {*workspace.tasks(), *task_list.listed(workspace)}:
        raise loader.unknown_task_error(workspace, name)
    for other in workspace.tasks():
        if other != name and _base(workspace, other) == name:
            raise TaskError(f"{other} takes up the training of {name}", f"first: tiltyard remove {other}")
    made, records = _made(workspace, name), _records(workspace, name)
    going = [*made, *records] if everything else made
    listed = ["params.yaml: its entry"] if name in task_list.listed(workspace) else []
    kept = [] if everything else [_told(workspace, path) for path in records if _there(path)]
    return Removal(name, [*(_told(workspace, path) for path in going if _there(path)), *listed], kept)


def remove(workspace: Workspace, name: str, *, everything: bool = False) -> Removal:
    """Remove a task, after whoever works on it; killed on the way, it is on the list, and the same command goes on."""
    plan(workspace, name, everything=everything)  # a name that no task has is refused before anything is waited for
    with processes.alone(workspace, name):
        done = plan(workspace, name, everything=everything)
        _remove(workspace, name, everything=everything)
        workspace.work_lock(name).unlink(missing_ok=True)
    return done


def _remove(workspace: Workspace, name: str, *, everything: bool) -> None:
    registry = Registry(workspace)
    with registry.lock(name):
        if not everything:
            registry.repair(name)  # a decision that only the pointer knows goes into the ledger first
        for path in [*_made(workspace, name), *(_records(workspace, name) if everything else [])]:
            _drop(path)
        workspace.lock(name).unlink(missing_ok=True)
    dvc.remove_stages(workspace, name)
    task_list.remove(workspace, name)


def _base(workspace: Workspace, name: str) -> str:
    """Return the task whose training another takes up; of a file that cannot be read nothing is known."""
    return "" if loader.find_error(workspace, name) else loader.load(workspace, name).model.taken_up


def _made(workspace: Workspace, name: str) -> list[Path]:
    """List the task file, what was made of it, and what says that it is served."""
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
    """List what proves earlier figures and can be made by no command: data, seals, decisions, packages, answers."""
    raw, ledger = workspace.raw(name), workspace.ledger(name)
    return [
        *dict.fromkeys([ledger, *sorted(ledger.parent.glob(f"{name}.*"))]),  # and the hash of its last line
        workspace.root / "serving" / "packages" / name,
        workspace.seal(name),
        workspace.versions(name),
        raw.with_name(f"{raw.name}.dvc"),
        raw,
        workspace.records / name,
    ]


def _there(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _told(workspace: Workspace, path: Path) -> str:
    return str(path.relative_to(workspace.root))


def _drop(path: Path) -> None:
    """Remove a file, a link or a folder; a link's target stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
