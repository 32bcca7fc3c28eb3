"""Environment diagnosis (`tiltyard doctor`): check Python, packages, tools, disk and port without heavy imports."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from tiltyard.config import task_list
from tiltyard.data import dvc
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

SUPPORTED_PYTHON = ((3, 11), (3, 14))  # the first one that is supported, and the first one that is not
DEFAULT_PORT = 3000
MIN_FREE_BYTES = 5 * 10**9  # the installed packages, the data of a first run, and some reserve
CONTAINER_ENGINES = ("docker", "podman", "buildah")


@dataclass(frozen=True)
class Requirement:
    """The result for one requirement; `hint` says what to do and may be empty."""

    name: str
    ok: bool
    found: str
    hint: str = ""


def doctor(workspace: Workspace) -> list[Requirement]:
    """Check everything that the pipeline needs, then what it can use."""
    return [
        _python(),
        _packages(),
        _tensorflow(),
        _git(workspace),
        _dvc(workspace),
        _remote(workspace),
        _tasks(workspace),
        _disk(workspace),
        _port(DEFAULT_PORT),
        _gpu(),
        _engine(),
    ]


def _python() -> Requirement:
    low, high = SUPPORTED_PYTHON
    ok = low <= sys.version_info[:2] < high
    hint = "" if ok else f"supported are {low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    return Requirement("python", ok, ".".join(map(str, sys.version_info[:3])), hint)


def _packages() -> Requirement:
    """Check that the packages of pyproject.toml are installed; extras are optional."""
    required = [line for line in metadata.requires("tiltyard") or [] if "extra ==" not in line]
    names = [match[0] for line in required if (match := re.match(r"[\w.-]+", line))]
    missing = [name for name in names if not _version(name)]
    if missing:
        return Requirement("packages", False, f"missing: {', '.join(missing)}", "install them: make install")
    return Requirement("packages", True, f"{len(names)} present")


def _tensorflow() -> Requirement:
    for name in ("tensorflow", "tensorflow-cpu"):
        if version := _version(name):
            return Requirement("tensorflow", True, f"{name} {version}")
    return Requirement("tensorflow", False, "none", "training needs it: make install")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _git(workspace: Workspace) -> Requirement:
    version = _output_of("git", "--version")
    if not version:
        return Requirement("git", False, "none", "install git: it versions task files, pointers and verdicts")
    inside = _output_of("git", "-C", str(workspace.root), "rev-parse", "--short", "HEAD")
    hint = "" if inside else "verdicts name the git commit, and there is none yet: git init && git add . && git commit"
    return Requirement("git", True, f"{version.removeprefix('git version ')}, at {inside or 'no commit'}", hint)


def _dvc(workspace: Workspace) -> Requirement:
    if (workspace.root / ".dvc" / "config").is_file():
        return Requirement("dvc", True, f"{_version('dvc')}, project initialised")
    return Requirement(
        "dvc", True, f"{_version('dvc')}, not initialised yet", "tiltyard fetch or tiltyard run initialises it"
    )


def _remote(workspace: Workspace) -> Requirement:
    try:
        return Requirement("remote", True, dvc.remote_address(workspace))
    except TiltyardError as error:
        return Requirement("remote", False, error.message, error.hint)


def _tasks(workspace: Workspace) -> Requirement:
    """Compare the list that dvc.yaml reads with the task files."""
    try:
        names = task_list.listed(workspace)
    except TiltyardError as error:
        return Requirement("tasks", False, error.message, error.hint)
    if missing := sorted(set(names) - set(workspace.tasks())):
        return Requirement(
            "tasks", False, f"without a file in tasks/: {', '.join(missing)}", "remove them from params.yaml"
        )
    return Requirement("tasks", True, ", ".join(names))


def _disk(workspace: Workspace) -> Requirement:
    free = shutil.disk_usage(workspace.root).free
    return Requirement(
        "disk",
        free >= MIN_FREE_BYTES,
        f"{free / 1e9:.0f} GB free",
        "" if free >= MIN_FREE_BYTES else "free space: dvc gc -w",
    )


def _port(port: int) -> Requirement:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Requirement("port", False, f"{port} is taken", f"use another port: tiltyard serve --port {port + 1}")
    return Requirement("port", True, f"{port} is free")


def _gpu() -> Requirement:
    """Ask the driver, since importing TensorFlow takes seconds."""
    gpus = [line.split(" (UUID")[0] for line in _output_of("nvidia-smi", "-L").splitlines() if line.startswith("GPU ")]
    if not gpus:
        return Requirement("gpu", True, "none; training uses the CPU")
    hint = "" if _version("tensorflow") else "to use it: make run GPU=1"
    return Requirement("gpu", True, ", ".join(gpus), hint)


def _engine() -> Requirement:
    """Check which container engines respond: docker may be installed without its daemon."""
    engines = [
        name for name in CONTAINER_ENGINES if _output_of(name, *(["info"] if name != "buildah" else ["--version"]))
    ]
    hint = "" if engines else f"needed only to build the container image: {' or '.join(CONTAINER_ENGINES)}"
    return Requirement("container", True, ", ".join(engines) or "none", hint)


def _output_of(*command: str) -> str:
    """Return what a command prints, or an empty string if it is missing, fails or hangs."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
