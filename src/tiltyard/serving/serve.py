"""The command serve: runs the service in the foreground, with the champions of all or of the named tasks."""

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
from tiltyard.serving.variables import SERVER, SERVICE_VARIABLES
from tiltyard.workspace import Workspace


def serve(
    workspace: Workspace,
    tasks: Iterable[str],
    address: tuple[str, int] = ("127.0.0.1", 3000),
    limits: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Replace this process by the service (exec), so that it receives signals directly."""
    task_names = list(tasks)
    folders = champions(workspace, task_names, say)
    _check_port(*address)
    url = f"http://{address[0]}:{address[1]}"
    for name, folder in folders.items():
        say(f"{name} {folder.name}: {url}/v1/models/{name}")
    header = ' -H "Authorization: Bearer KEY"' if limits and "KEYS" in limits else ""
    say(f"page: {url}/")
    if curl := next(filter(None, (example(folder, url) for folder in folders.values())), ""):
        say(f"try: {curl}{header}")
    bentoml_home = workspace.state("serve", str(address[1]))
    paths = {
        "CHAMPIONS": str(workspace.serving),
        "RECORDS": str(workspace.records),
        "STATE": str(last_good(workspace).folder),
    }
    settings = {**paths, "TASKS": " ".join(task_names), **(limits or {})}
    os.execve(sys.executable, command(*address), environment(settings, bentoml_home))  # noqa: S606 - no shell


def champions(
    workspace: Workspace, tasks: Iterable[str], say: Callable[[str], None] = lambda _: None
) -> dict[str, Path]:
    """Return the package of each task's champion: of the named tasks, or of all tasks that have one.

    A task with a damaged pointer or package is served by its last good version, or left out if there is none; both are
    reported through `say`. Raise an error if a named task has no champion, or if no task can be served.
    """
    task_names, registry = list(tasks), Registry(workspace)
    packages: dict[str, Path] = {}
    problems: dict[str, TiltyardError] = {}
    for name in task_names or workspace.tasks():
        try:
            if champion := registry.champion(name):
                packages[name] = registry.package(name, champion.version)
        except TiltyardError as error:
            problems[name] = error
    for name, problem in problems.items():
        folders = last_good(workspace).folders(name, workspace.serving)
        packages |= dict(zip([name], folders, strict=False))
        served = f"the last good version {folders[0].name} is served" if folders else "it is not served"
        say(f"{name}: {problem}; {served}")
    missing = [name for name in task_names if name not in packages and name not in problems]
    if unknown := [name for name in missing if name not in workspace.tasks()]:
        raise loader.unknown_task_error(workspace, unknown[0])
    if problems and not packages and not missing:
        raise next(iter(problems.values()))
    if missing or not packages:
        run_command = f"tiltyard run {' '.join(missing)}".strip()
        names = ", ".join(missing or task_list.listed(workspace))
        raise RegistryError(f"no champion yet of {names}", hint=f"make one: {run_command}")
    return packages


def last_good(workspace: Workspace) -> LastGood:
    """Return the folder of the last good versions of this project's services."""
    return LastGood(workspace.state("serve", "last-good"))


def command(host: str, port: int) -> list[str]:
    """Return the command line of the service."""
    return [sys.executable, *SERVER, "--host", host, "--port", str(port)]


def fixed_packages(folders: dict[str, Path]) -> dict[str, str]:
    """Return the variables for a service of fixed packages, independent of champions."""
    return {"PACKAGES": os.pathsep.join(map(str, folders.values()))}


def environment(settings: dict[str, str], bentoml_home: Path) -> dict[str, str]:
    """Return the environment of a service, with a BentoML home of its own, where it clears earlier metrics."""
    inherited = {name: value for name, value in os.environ.items() if name not in SERVICE_VARIABLES}
    return {
        **inherited,
        **{f"TILTYARD_{name}": value for name, value in settings.items()},
        "BENTOML_HOME": str(bentoml_home),
    }


def example(folder: Path, url: str) -> str:
    """Return a curl command with the example of a model; an empty text if the package cannot be read."""
    try:
        schema = files.read_json(folder / "schema.json")
        body = msgspec.json.encode({"instances": [schema["example"]]}).decode()
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"curl {url}/v1/models/{schema['task']}:predict -d {shlex.quote(body)}"  # the example may contain quotes


def _check_port(host: str, port: int) -> None:
    """Raise PackageError if the port is taken, which BentoML would report by a traceback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PackageError(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another: tiltyard serve --port 3001"
            ) from None
