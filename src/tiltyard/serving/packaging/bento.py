"""Build Bentos with BentoML: one for each packaged version, moved into the project's store when it is complete."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.errors import PackageError
from tiltyard.registry import manifest
from tiltyard.serving import variables
from tiltyard.serving.packaging import wheel
from tiltyard.workspace import Workspace

# Reads the build settings from one line of standard input, builds, and ends when that input closes: so it never
# outlives the process that started it, even if that process is killed.
BUILD = """\
import json, os, sys, threading
settings = json.loads(sys.stdin.readline())
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
import bentoml
bentoml.bentos.build(**settings)
"""
MAX_LOG_LINES = 15  # lines of a log that are shown in an error


def folder(workspace: Workspace, task: str, version: str) -> Path:
    """Return the folder in which BentoML looks for TASK:VERSION."""
    return workspace.bentos / "bentos" / task / version


def build(workspace: Workspace, task: str, version: str) -> None:
    """Build TASK:VERSION in a store of its own, then move it into the project's store in one step."""
    state = workspace.state(task, "package")
    shutil.rmtree(state, ignore_errors=True)  # left by a killed process
    build_folder = state / secrets.token_hex(4)  # a new name, so that no process of a killed build writes into it
    context, store = build_folder / "context", build_folder / "store"
    _fill(workspace, context, task, version)
    wheel_path = wheel.write(context / "wheels")
    lock = workspace.service.with_name("requirements.lock").read_text(encoding="utf-8")
    _run_build(context, store, _settings(context, task, version, f"{lock}\n./wheels/{wheel_path.name}"))
    target = folder(workspace, task, version)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    (store / "bentos" / task / version).replace(target)
    files.sync_folder(target.parent)
    files.write_text(target.with_name("latest"), version)
    shutil.rmtree(state, ignore_errors=True)


def _fill(workspace: Workspace, context: Path, task: str, version: str) -> None:
    """Copy the service and the package into the build context."""
    shutil.copytree(workspace.package(task, version), context / "packages" / task / version)
    manifest.write(context / "packages" / task / version)
    shutil.copy(workspace.service, context / "service.py")


def _settings(context: Path, task: str, version: str, requirements: str) -> dict[str, Any]:
    """Return the build settings of BentoML; requirements are text, since it refuses file paths with a hidden part."""
    return {
        "service": "service:Tiltyard",
        "name": task,
        "version": version,
        "labels": {"task": task, "version": version},
        "description": (context / "packages" / task / version / "card.md").read_text(encoding="utf-8"),
        "include": ["service.py", "wheels/*.whl", "packages/**"],
        "python": {"packages": [requirements], "lock_packages": False},  # the requirements are a lock file already
        "docker": {"python_version": "3.11"},
        "build_ctx": str(context),
    }


def _run_build(context: Path, store: Path, settings: dict[str, Any]) -> None:
    """Build in a separate process, since BentoML changes the working directory and the import path."""
    store.mkdir(parents=True)
    log = store.with_name("build.log")
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-c", BUILD],
            env={**clean(), "BENTOML_HOME": str(store)},
            cwd=context,
            stdin=subprocess.PIPE,
            stdout=log_file,
            stderr=subprocess.STDOUT,
        )
    with contextlib.suppress(BrokenPipeError), process:  # it failed before it read the settings
        assert process.stdin is not None  # noqa: S101 - for the type checker
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        process.wait()
    if process.returncode:
        last_lines = "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-MAX_LOG_LINES:])
        raise PackageError(
            f"BentoML could not build {settings['name']}:\n{last_lines}", hint="see what is missing: tiltyard doctor"
        )


def clean() -> dict[str, str]:
    """Return environment variables for a process that must see nothing but the packaged code."""
    dropped = {
        "PYTHONPATH",
        *variables.SERVICE_VARIABLES,
        *variables.TRACING_VARIABLES,
        "BENTOML_CONFIG",
        "BENTOML_CONFIG_OPTIONS",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**inherited, "BENTOML_DO_NOT_TRACK": "True", "OTEL_SDK_DISABLED": "true"}
