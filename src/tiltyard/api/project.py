"""A project: its tasks, their status, runs, and new tasks from data frames."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard.api import runs
from tiltyard.api.frames import read_frame, write_frame
from tiltyard.api.html import table
from tiltyard.api.task import Task
from tiltyard.config import loader
from tiltyard.errors import TaskError, WorkspaceError
from tiltyard.registry import queries
from tiltyard.runtime.environment import configure_tools
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class Project:
    """A folder with tasks; `project["iris"]` is one of them."""

    def __init__(self, workspace: Workspace) -> None:
        configure_tools(workspace)
        self.workspace = workspace

    @property
    def root(self) -> Path:
        """The folder."""
        return self.workspace.root

    @property
    def tasks(self) -> list[str]:
        """The names of all tasks."""
        return self.workspace.tasks()

    def __getitem__(self, name: str) -> Task:
        """Return a task; raise TaskError if there is none of the name, or its file has a mistake."""
        if error := loader.find_error(self.workspace, name):
            raise error
        return Task(self.workspace, name)

    def __iter__(self) -> Iterator[Task]:
        """Return the tasks."""
        return (self[name] for name in self.tasks)

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.tasks)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a task of the name."""
        return name in self.tasks

    def __repr__(self) -> str:
        """Return the folder and the number of tasks."""
        return f"Project({str(self.root)!r}, {len(self)} tasks)"

    def _repr_html_(self) -> str:
        return table(self.status().fillna(""), f"Tiltyard project {self.root}")

    def status(self) -> pd.DataFrame:
        """Return each task's champion and last verdict."""
        shown = ("task", "version", "metric", "value", "since", "verdict", "decided")
        return read_frame([{name: row[name] for name in shown} for row in queries.status(self.workspace)], shown)

    def run(self, *names: str, allow_stand_in: bool = False) -> pd.DataFrame:
        """Run the pipeline for tasks, or for all in params.yaml; return the verdicts."""
        rows = runs.run(self.workspace, [*names], allow_stand_in=allow_stand_in)
        return read_frame(rows, ())

    def init(self, name: str, data: pd.DataFrame | str | Path, target: str = "", **options: Any) -> Task:
        """Draft a task from a data frame or a file; `options` are those of `tiltyard init`, such as problem or drop.

        A data frame is written to data/NAME.parquet first, and the task reads it from there.
        """
        from tiltyard.config.draft.draft import draft_task
        from tiltyard.config.draft.request import DraftRequest

        force = bool(options.pop("force", False))
        if self.workspace.task_file(name).exists() and not force:
            raise TaskError(f"tasks/{name}.yaml exists already", hint="to overwrite it: init(..., force=True)")
        if not isinstance(data, str | Path):
            data = write_frame(data, self.root / "data" / f"{name}.parquet").relative_to(self.root)
        drafted = draft_task(self.workspace, name, DraftRequest(str(data), target, **options), force=force)
        left_out = [f"left out: {trait.name}: {trait.reason}" for trait in drafted.traits if trait.reason]
        for note in [*drafted.notes, *left_out]:
            print(note)  # noqa: T201 - what a person should read, as the command prints it
        return self[name]


def open(path: str | Path = ".") -> Project:  # noqa: A001 - ty.open, as in other libraries
    """Open the project in a folder, or in the nearest folder above it."""
    return Project(Workspace.at(Path(path).resolve()))


def new(path: str | Path, *, example: bool = True) -> Project:
    """Make a project in a new folder, as `tiltyard new` does.

    >>> import tempfile
    >>> import tiltyard as ty
    >>> project = ty.new(tempfile.mkdtemp() + "/shop")
    >>> project.tasks
    ['iris']
    >>> project["iris"]
    Task('iris', classification by mlp)
    """
    from tiltyard.project.new import new as action

    return Project(Workspace(action(Path(path).resolve(), example=example).root))


def init(data: pd.DataFrame | str | Path, target: str = "", *, name: str = "model", **options: Any) -> Task:
    """Draft a task from a data frame in the project of the working directory, or in a new one in a temporary folder."""
    try:
        project = open()
    except WorkspaceError:
        project = new(Path(tempfile.mkdtemp()) / "project", example=False)
    return project.init(name, data, target, **options)
