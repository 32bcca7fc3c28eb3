"""What commands share: their arguments, the tasks that they name, and how results are printed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiltyard.quiet import silence
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from tiltyard.task import Task

TASKS = click.argument("tasks", nargs=-1, metavar="[TASK]...")
TASK = click.argument("task")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def find() -> Workspace:
    """Give the project around the working directory."""
    workspace = Workspace.find()
    silence(workspace)
    return workspace


def named(tasks: tuple[str, ...], verb: Callable[[Workspace, Task], Any]) -> Iterator[tuple[str, Any]]:
    """Run a verb for the named tasks, or for all; every task file is read before anything runs."""
    from tiltyard import roster, task_file

    workspace = find()
    for task in [task_file.load(workspace, name) for name in tasks or roster.listed(workspace)]:
        yield task.name, verb(workspace, task)


def one(name: str, verb: Callable[[Workspace, Task], Any]) -> Any:
    """Run a verb for one task."""
    ((_, result),) = named((name,), verb)
    return result


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


def each(results: Iterator[tuple[str, Any]], sentence: Callable[[Any], str], *, as_json: bool) -> None:
    """Print a sentence a task as soon as it is done, or all results as one JSON object by task."""
    if as_json:
        print_json({name: vars(result) if is_dataclass(result) else result for name, result in results})
        return
    for name, result in results:
        click.echo(f"{name}: {sentence(result)}")
