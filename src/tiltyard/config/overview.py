"""The list of tasks with what each is about, for `tiltyard tasks`."""

from __future__ import annotations

from dataclasses import dataclass

from tiltyard.config import loader, task_list
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Line:
    """One task; a file with a mistake has the mistake in place of its title."""

    task: str
    problem: str
    source: str
    model: str
    listed: bool
    title: str


def overview(workspace: Workspace) -> list[Line]:
    """Return a line for each task file."""
    listed = {*task_list.listed(workspace)}
    return [_line(workspace, name, listed=name in listed) for name in workspace.tasks()]


def _line(workspace: Workspace, name: str, *, listed: bool) -> Line:
    try:
        task = loader.load(workspace, name)
    except TaskError as error:
        return Line(name, "", "", "", listed, error.message.splitlines()[0])
    return Line(name, task.problem, task.source.kind, task.model.family, listed, task.title)
