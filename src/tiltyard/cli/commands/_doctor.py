"""The verb doctor: what this machine has and what it lacks; nothing heavy is imported to find out."""

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

PYTHON = ((3, 11), (3, 14))  # from the first up to, and without, the second
PORT = 3000
DISK = 5 * 10**9  # bytes: the installed packages, the data of a first run, and some air
ENGINES = ("docker", "podman", "buildah")


@dataclass(frozen=True)
class Symptom:
    """One thing that was looked at; `hint` says what to do, and is empty if there is nothing to do."""

    name: str
    ok: bool
    found: str
    hint: str = ""


def doctor(workspace: Workspace) -> list[Symptom]:
    """Look at everything that the road needs, then at what it can use."""
    return [
        _python(),
        _packages(),
        _tensorflow(),
        _git(workspace),
        _dvc(workspace),
        _remote(workspace),
        _tasks(workspace),
        _disk(workspace),
        _port(PORT),
        _gpu(),
        _engine(),
    ]


def _python() -> Symptom:
    low, high = PYTHON
    ok = low <= sys.version_info[:2] < high
    hint = "" if ok else f"supported are {low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    return Symptom("python", ok, ".".join(map(str, sys.version_info[:3])), hint)


def _packages() -> Symptom:
    """Look for what pyproject.toml names, extras aside."""
    wanted = [line for line in metadata.requires("tiltyard") or [] if "extra ==" not in line]
    names = [match[0] for line in wanted if (match := re.match(r"[\w.-]+", line))]
    missing = [name for name in names if not _version(name)]
    if missing:
        return Symptom("packages", False, f"missing: {', '.join(missing)}", "install them: make install")
    return Symptom("packages", True, f"{len(names)} present")


def _tensorflow() -> Symptom:
    for name in ("tensorflow", "tensorflow-cpu"):
        if version := _version(name):
            return Symptom("tensorflow", True, f"{name} {version}")
    return Symptom("tensorflow", False, "none", "training needs it: make install")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _git(workspace: Workspace) -> Symptom:
    version = _said("git", "--version")
    if not version:
        return Symptom("git", False, "none", "install git: it keeps task files, pointers and verdicts")
    inside = _said("git", "-C", str(workspace.root), "rev-parse", "--short", "HEAD")
    hint = "" if inside else "no commit yet, so verdicts will name none: git init && git add . && git commit"
    return Symptom("git", True, f"{version.removeprefix('git version ')}, at {inside or 'no commit'}", hint)


def _dvc(workspace: Workspace) -> Symptom:
    if (workspace.root / ".dvc" / "config").is_file():
        return Symptom("dvc", True, f"{_version('dvc')}, project initialised")
    return Symptom("dvc", True, f"{_version('dvc')}, not initialised yet", "tiltyard fetch or run does it")


def _remote(workspace: Workspace) -> Symptom:
    try:
        return Symptom("remote", True, dvc.remote_address(workspace))
    except TiltyardError as error:
        return Symptom("remote", False, error.message, error.hint)


def _tasks(workspace: Workspace) -> Symptom:
    """Compare the list that dvc.yaml reads with the task files."""
    try:
        names = task_list.listed(workspace)
    except TiltyardError as error:
        return Symptom("tasks", False, error.message, error.hint)
    if gone := sorted(set(names) - set(workspace.tasks())):
        return Symptom("tasks", False, f"without a file in tasks/: {', '.join(gone)}", "take them out of params.yaml")
    return Symptom("tasks", True, ", ".join(names))


def _disk(workspace: Workspace) -> Symptom:
    free = shutil.disk_usage(workspace.root).free
    return Symptom("disk", free >= DISK, f"{free / 1e9:.0f} GB free", "" if free >= DISK else "make room: dvc gc -w")


def _port(port: int) -> Symptom:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Symptom("port", False, f"{port} is taken", f"serve elsewhere: tiltyard serve --port {port + 1}")
    return Symptom("port", True, f"{port} is free")


def _gpu() -> Symptom:
    """Ask the driver, not TensorFlow: that would take seconds."""
    gpus = [line.split(" (UUID")[0] for line in _said("nvidia-smi", "-L").splitlines() if line.startswith("GPU ")]
    if not gpus:
        return Symptom("gpu", True, "none; training uses the CPU")
    hint = "" if _version("tensorflow") else "to use it: make run GPU=1"
    return Symptom("gpu", True, ", ".join(gpus), hint)


def _engine() -> Symptom:
    """Name the engines that answer: docker may be installed without its daemon."""
    found = [name for name in ENGINES if _said(name, *(["info"] if name != "buildah" else ["--version"]))]
    hint = "" if found else f"only the container image needs one: {' or '.join(ENGINES)}"
    return Symptom("container", True, ", ".join(found) or "none", hint)


def _said(*command: str) -> str:
    """Return what a command prints; nothing if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
