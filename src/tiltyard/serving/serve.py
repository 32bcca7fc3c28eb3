"""The verb serve: the service in the foreground, with the champions of all tasks or of the named ones."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tiltyard import files
from tiltyard.config import loader, task_list
from tiltyard.errors import PackageError, RegistryError, TiltyardError
from tiltyard.registry.registry import Registry
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.variables import SERVED
from tiltyard.workspace import Workspace

ARGUMENTS = ["-m", "tiltyard.serving.http.server"]  # without Python in front and the address behind


def serve(
    workspace: Workspace,
    tasks: Iterable[str],
    address: tuple[str, int] = ("127.0.0.1", 3000),
    limits: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Become the service: this process is replaced by its own, so that signals reach it directly."""
    named = list(tasks)
    folders = champions(workspace, named, say)
    _refuse_taken(*address)
    url = f"http://{address[0]}:{address[1]}"
    for name, folder in folders.items():
        say(f"{name} {folder.name}: {url}/v1/models/{name}")
    key = ' -H "Authorization: Bearer KEY"' if limits and "KEYS" in limits else ""
    say(f"page: {url}/")
    if found := next(filter(None, (example(folder, url) for folder in folders.values())), ""):
        say(f"try: {found}{key}")
    home = workspace.state("serve", str(address[1]))
    places = {
        "CHAMPIONS": str(workspace.service.parent),
        "RECORDS": str(workspace.records),
        "STATE": str(last_good(workspace).folder),
    }
    given = {**places, "TASKS": " ".join(named), **(limits or {})}
    os.execve(sys.executable, command(*address), environment(given, home))  # noqa: S606 - no shell


def champions(
    workspace: Workspace, tasks: Iterable[str], say: Callable[[str], None] = lambda _: None
) -> dict[str, Path]:
    """Return the package of each task's champion: of the named tasks all, of the others those that have one.

    A task whose pointer or package is damaged is served by the last good champion, or left out if none is known. Both
    are said in a sentence. It is an error only if nothing else can be served.
    """
    named, registry = list(tasks), Registry(workspace)
    found: dict[str, Path] = {}
    problems: dict[str, TiltyardError] = {}
    for name in named or workspace.tasks():
        try:
            if champion := registry.champion(name):
                found[name] = registry.package(name, champion.version)
        except TiltyardError as error:
            problems[name] = error
    for name, problem in problems.items():
        folders = last_good(workspace).folders(name, workspace.service.parent)
        found |= dict(zip([name], folders, strict=False))
        say(
            f"{name}: {problem}; {f'{folders[0].name} is served, the last good one' if folders else 'it is not served'}"
        )
    missing = [name for name in named if name not in found and name not in problems]
    if strangers := [name for name in missing if name not in workspace.tasks()]:
        raise loader.unknown_task_error(workspace, strangers[0])
    if problems and not found and not missing:
        raise next(iter(problems.values()))
    if missing or not found:
        run = f"tiltyard run {' '.join(missing)}".strip()
        names = ", ".join(missing or task_list.listed(workspace))
        raise RegistryError(f"no champion yet of {names}", hint=f"make one: {run}")
    return found


def last_good(workspace: Workspace) -> LastGood:
    """Return where services of this project keep the champions that they served last."""
    return LastGood(workspace.state("serve", "last-good"))


def command(host: str, port: int) -> list[str]:
    """Return the command line of the service."""
    return [sys.executable, *ARGUMENTS, "--host", host, "--port", str(port)]


def fixed(folders: dict[str, Path]) -> dict[str, str]:
    """Return what lets a service answer with these packages, whoever is champion."""
    return {"PACKAGES": os.pathsep.join(map(str, folders.values()))}


def environment(given: dict[str, str], home: Path) -> dict[str, str]:
    """Return the environment of the service; a home of its own, since a service empties the metrics of others there."""
    others = {name: value for name, value in os.environ.items() if name not in SERVED}
    return {**others, **{f"TILTYARD_{name}": value for name, value in given.items()}, "BENTOML_HOME": str(home)}


def example(folder: Path, url: str) -> str:
    """Return a command line that asks a model for its example; nothing if the package cannot be read."""
    try:
        schema = files.read_json(folder / "schema.json")
        body = msgspec.json.encode({"instances": [schema["example"]]}).decode()
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"curl {url}/v1/models/{schema['task']}:predict -d {shlex.quote(body)}"  # a text may hold a quote


def _refuse_taken(host: str, port: int) -> None:
    """Refuse at once what BentoML would answer with a traceback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PackageError(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another: tiltyard serve --port 3001"
            ) from None
