"""Shared by all commands: arguments, running an action for the named tasks, locks, errors and JSON output."""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

import click

from tiltyard.errors import TiltyardError
from tiltyard.runtime import progress
from tiltyard.runtime.environment import configure_tools
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.config.task import Task

STOPPED = "stopped; run the same command again to resume"
FAILED = "tiltyard.failed"  # key in the click context: one of several tasks failed


def complete_tasks(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the tasks of the project that begin with what was typed, for completion by a shell."""
    try:
        return [name for name in Workspace.find().tasks() if name.startswith(incomplete)]
    except TiltyardError:
        return []


def complete_versions(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the packaged versions of the task that was typed before."""
    try:
        folder = Workspace.find().package(context.params.get("task") or "", "x").parent
    except TiltyardError:
        return []
    return sorted(path.name for path in folder.glob(f"{glob.escape(incomplete)}*") if path.is_dir())


JSON_ASKED = ContextVar("JSON_ASKED", default=False)  # whether this command prints JSON: its errors are JSON, too


def _remember(_context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    JSON_ASKED.set(value)
    return value


TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...", shell_complete=complete_tasks)
TASK = click.argument("task", shell_complete=complete_tasks)
JSON = click.option("--json", "as_json", is_flag=True, callback=_remember, help="Print JSON instead of a table.")


def find_workspace() -> Workspace:
    """Return the project that contains the working directory."""
    workspace = Workspace.find()
    configure_tools(workspace)
    return workspace


def run_locked(tasks: tuple[str, ...], action: Callable[[Workspace, Task], Any]) -> Iterator[tuple[str, Any]]:
    """Run an action that writes outputs of tasks, holding the exclusive lock of each task."""
    return run_tasks(tasks, _locked(action))


def _locked(action: Callable[[Workspace, Task], Any], *, reading: bool = False) -> Callable[[Workspace, Task], Any]:
    """Return the action so that it holds the task's lock: a shared one for reading, else an exclusive one."""
    from tiltyard.runtime.task_lock import task_lock

    def with_lock(workspace: Workspace, task: Task) -> Any:
        with task_lock(workspace, task.name, reading=reading):
            return action(workspace, task)

    return with_lock


def run_tasks(tasks: tuple[str, ...], action: Callable[[Workspace, Task], Any]) -> Iterator[tuple[str, Any]]:
    """Run an action for the named tasks, or for all. If one of several fails, the others still run.

    All task files are read first. An unknown name is taken for a typing error: nothing runs then.
    """
    from tiltyard.config import loader, task_list

    workspace = find_workspace()
    names = list(dict.fromkeys(tasks)) or task_list.listed(workspace)
    single = len(names) == 1
    mistakes = {name: error for name in names if (error := loader.find_error(workspace, name))}
    for error in mistakes.values():
        _handle_failure(error, single=single)
    for name in names:
        if name not in mistakes:
            try:
                result = action(workspace, loader.load(workspace, name))
            except TiltyardError as error:
                _handle_failure(error, single=single)
            else:
                yield name, result


def _handle_failure(error: TiltyardError, *, single: bool) -> None:
    """Raise the error of a single task; for one of several, print it and make the command exit with 1."""
    if single:
        raise error
    print_error(error)
    click.get_current_context().meta[FAILED] = True


def exit_with(status: int) -> None:
    """Exit with a status, or with 1 if one of several tasks failed."""
    if code := 1 if click.get_current_context().meta.get(FAILED) else status:
        sys.exit(code)


def print_error(error: TiltyardError) -> None:
    """Print an error message and its hint; as JSON if that was asked for."""
    if JSON_ASKED.get():
        content = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        click.echo(json.dumps({"error": content}, ensure_ascii=False), err=True)
        return
    color = False if progress.without_colour() else None  # click has no context any more that would hold this setting
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True, color=color)
    if error.hint:
        click.echo(click.style("next:  ", fg="cyan", bold=True) + error.hint, err=True, color=color)


def run_task(name: str, action: Callable[[Workspace, Task], Any]) -> Any:
    """Run an action for one task and return its result."""
    ((_, result),) = run_tasks((name,), action)  # the error of a single task is raised
    return result


def run_task_locked(name: str, action: Callable[[Workspace, Task], Any]) -> Any:
    """Run an action that writes outputs of one task, holding its exclusive lock."""
    return run_task(name, _locked(action))


def run_task_read_locked(name: str, action: Callable[[Workspace, Task], Any]) -> Any:
    """Run an action that only reads outputs of one task, holding its shared lock: writers wait, readers do not."""
    return run_task(name, _locked(action, reading=True))


def print_json(content: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def confirmed(question: str) -> bool:
    """Ask for confirmation; without a terminal, require --yes."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("--yes: required without a terminal, which could ask for confirmation") from None


def print_each(results: Iterator[tuple[str, Any]], sentence: Callable[[Any], str], *, as_json: bool) -> None:
    """Print a line for each task as soon as it is done, or all results as one JSON object by task."""
    if as_json:
        print_json({name: vars(result) if is_dataclass(result) else result for name, result in results})
        return
    for name, result in results:
        click.echo(f"{name}: {sentence(result)}")


def end_by(number: int) -> None:
    """End by the signal that was received, as shells and systemd expect; a shell reports 128 plus its number."""
    click.echo(STOPPED, err=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    os._exit(128 + number)  # the first process of a container ignores the signal's default action
