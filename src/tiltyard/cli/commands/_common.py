"""What commands share: their arguments, the tasks that they name, and how results are printed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiltyard import progress
from tiltyard.environment import configure_tools
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.config.task import Task

FAILED = "tiltyard.failed"  # in the context of a command: that one task among several failed
TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
TASK = click.argument("task")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def find() -> Workspace:
    """Return the project around the working directory."""
    workspace = Workspace.find()
    configure_tools(workspace)
    return workspace


def changing(tasks: tuple[str, ...], verb: Callable[[Workspace, Task], Any]) -> Iterator[tuple[str, Any]]:
    """Run a verb that writes what a run writes, too: each task after whoever works on it now."""
    return run_named(tasks, _after(verb))


def _after(verb: Callable[[Workspace, Task], Any], *, reading: bool = False) -> Callable[[Workspace, Task], Any]:
    """Return a verb that waits for whoever works on the task now."""
    from tiltyard.processes import alone

    def waited(workspace: Workspace, task: Task) -> Any:
        with alone(workspace, task.name, reading=reading):
            return verb(workspace, task)

    return waited


def run_named(tasks: tuple[str, ...], verb: Callable[[Workspace, Task], Any]) -> Iterator[tuple[str, Any]]:
    """Run a verb for the named tasks, or for all; of several, one that fails leaves the others alone.

    Every task file is read before anything runs. A name that no task has is a slip of the hand: nothing runs then.
    """
    from tiltyard.config import loader, task_list

    workspace = find()
    names = list(dict.fromkeys(tasks)) or task_list.listed(workspace)
    alone = len(names) == 1
    mistakes = {name: error for name in names if (error := loader.find_error(workspace, name))}
    for error in mistakes.values():
        _failed(error, alone=alone)
    for name in names:
        if name not in mistakes:
            try:
                result = verb(workspace, loader.load(workspace, name))
            except TiltyardError as error:
                _failed(error, alone=alone)
            else:
                yield name, result


def _failed(error: TiltyardError, *, alone: bool) -> None:
    """Raise the error of the only task; print that of one among several, and let the command end with 1."""
    if alone:
        raise error
    complain(error)
    click.get_current_context().meta[FAILED] = True


def end(status: int) -> None:
    """End a command with an exit status of its own; a task that failed outranks it."""
    if code := 1 if click.get_current_context().meta.get(FAILED) else status:
        sys.exit(code)


def complain(error: TiltyardError) -> None:
    """Print what is wrong, and what to type next."""
    color = False if progress.plain() else None  # at the end of a command click has no context that knows it
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True, color=color)
    if error.hint:
        click.echo(click.style("next:  ", fg="cyan", bold=True) + error.hint, err=True, color=color)


def run_one(name: str, verb: Callable[[Workspace, Task], Any]) -> Any:
    """Run a verb for one task."""
    ((_, result),) = run_named((name,), verb)  # one that fails is raised
    return result


def one_changing(name: str, verb: Callable[[Workspace, Task], Any]) -> Any:
    """Run a verb for one task that writes what a run writes, too, after whoever works on it now."""
    return run_one(name, _after(verb))


def one_reading(name: str, verb: Callable[[Workspace, Task], Any]) -> Any:
    """Run a verb for one task that reads for long what a run writes: runs wait, others who read do not."""
    return run_one(name, _after(verb, reading=True))


@contextlib.contextmanager
def pipeline(name: str, *, scheduling: bool = False) -> Iterator[Any]:
    """Import a module that uses Prefect, which makes its folder on import, but not the folder around it."""
    from pipelines import server

    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    with server.running(scheduling=scheduling):
        yield importlib.import_module(f"pipelines.{name}")


@contextlib.contextmanager
def plain(name: str) -> Iterator[Any]:
    """Import a module of pipelines that makes do without Prefect."""
    yield importlib.import_module(f"pipelines.{name}")


def print_json(content: Any) -> None:
    """Print what programs read."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def print_each(results: Iterator[tuple[str, Any]], sentence: Callable[[Any], str], *, as_json: bool) -> None:
    """Print a sentence a task as soon as it is done, or all results as one JSON object by task."""
    if as_json:
        print_json({name: vars(result) if is_dataclass(result) else result for name, result in results})
        return
    for name, result in results:
        click.echo(f"{name}: {sentence(result)}")
