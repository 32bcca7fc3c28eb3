"""The command watch: looks at each operated task at its interval, as the only such process of the project."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from tiltyard import files
from tiltyard.config import loader, task_list
from tiltyard.config.operate_section import Operate
from tiltyard.data import dvc
from tiltyard.errors import TaskError, TiltyardError, WorkspaceError
from tiltyard.operations.watcher import Look, Watcher, not_operated
from tiltyard.workspace import Workspace

MINUTE = 60.0  # seconds
log = logging.getLogger(__name__)


def operated(workspace: Workspace, names: Sequence[str]) -> list[str]:
    """Return the named tasks, or all with a section `operate`; raise TaskError if one has none, or there is none."""
    if names:
        for name in names:
            if loader.load(workspace, name).operate is None:
                raise not_operated(name)
        return list(dict.fromkeys(names))
    listed = task_list.listed(workspace)
    found = [name for name in listed if not loader.find_error(workspace, name) and loader.load(workspace, name).operate]
    if not found:
        hint = "add `operate: {}` to a task file; its keys: tiltyard help operate"
        raise TaskError("no task is operated: expected a section `operate` in a task file; received none", hint)
    return found


@contextlib.contextmanager
def only_watcher(workspace: Workspace) -> Iterator[None]:
    """Hold the lock of the project's watch; the lock of a process that died is free."""
    with files.claimed(workspace.watch_lock) as claimed:
        if not claimed:
            raise WorkspaceError(
                "another process watches this project already: expected one",
                hint="see what it does: tiltyard status --all; end it before you start another",
            )
        with contextlib.chdir(workspace.root):  # DVC is used in the project folder
            yield


def prepare(workspace: Workspace, names: Sequence[str]) -> None:
    """Add the tasks to the list, so that DVC has stages for them."""
    for name in names:
        task_list.add(workspace, name)
    dvc.repair_lock_file(workspace)


def look_at(watcher: Watcher, name: str, *, wait: bool) -> Look:
    """Look at one task; an error is part of the result, so that the others are looked at, too."""
    try:
        return watcher.look(loader.load(watcher.workspace, name), wait=wait)
    except TiltyardError as error:
        return Look(name, error=error.message, hint=error.hint)
    except Exception as error:  # such as a full disk: the next look may succeed
        log.exception("a look at %s failed", name)
        return Look(name, error=f"{type(error).__name__}: {error}", hint="its traceback is in the log")


def look_once(workspace: Workspace, names: Sequence[str]) -> list[Look]:
    """Look at each task once, and finish what that starts."""
    with only_watcher(workspace):
        prepare(workspace, names)
        watcher = Watcher(workspace)
        return [look_at(watcher, name, wait=True) for name in names]


def watch(
    workspace: Workspace,
    names: Sequence[str],
    every: float | None,
    say: Callable[[Look], None],
) -> NoReturn:
    """Look at each task at its interval, or every so many minutes, until the process ends."""
    with only_watcher(workspace):
        prepare(workspace, names)
        watcher, due = Watcher(workspace), dict.fromkeys(names, 0.0)
        while True:
            for name in names:
                if time.monotonic() >= due[name]:
                    say(look_at(watcher, name, wait=False))
                    due[name] = time.monotonic() + MINUTE * (every or _interval(workspace, name))
            time.sleep(max(0.0, min(due.values()) - time.monotonic()))


def _interval(workspace: Workspace, name: str) -> float:
    """Return the minutes between two looks at a task; the default while its file is not valid."""
    operate = None if loader.find_error(workspace, name) else loader.load(workspace, name).operate
    return (operate or Operate()).every_minutes
