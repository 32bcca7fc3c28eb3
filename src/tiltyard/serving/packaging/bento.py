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
from typing import Any, Self

from tiltyard import files
from tiltyard.errors import PackageError
from tiltyard.registry import manifest
from tiltyard.serving import variables
from tiltyard.serving.packaging import sbom, wheel
from tiltyard.workspace import Workspace

# Imports what a build needs, reads its settings from one line of standard input, builds, and ends when that input
# closes: so it never outlives the process that started it, even if that process is killed.
BUILD = """\
import json, os, sys, threading
import bentoml.bentos, bentoml.images, httptools, msgspec, numpy, pydantic, starlette.applications, uvicorn
bentoml.service  # loaded when it is first named
settings = sys.stdin.readline()
threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
if settings:
    bentoml.bentos.build(**json.loads(settings))
"""
MAX_LOG_LINES = 15  # lines of a log that are shown in an error


def folder(workspace: Workspace, task: str, version: str) -> Path:
    """Return the folder in which BentoML looks for TASK:VERSION."""
    return workspace.bentos / "bentos" / task / version


class Builder:
    """Builds one Bento in a store of its own, by a process, since BentoML changes directory and import path."""

    def __init__(self, workspace: Workspace, task: str) -> None:
        self.workspace, self.task = workspace, task
        self.state = workspace.state(task, "package")
        folder = self.state / secrets.token_hex(4)  # a new name, so that no process of a killed build writes into it
        self.context, self.store, self.log = folder / "context", folder / "store", folder / "build.log"
        self.process: subprocess.Popen[bytes] | None = None

    def load(self) -> None:
        """Start the process, which loads BentoML while a challenger is judged; `build` reports what is wrong."""
        with contextlib.suppress(OSError):
            self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        shutil.rmtree(self.state, ignore_errors=True)  # left by a killed process
        self.context.mkdir(parents=True)
        self.store.mkdir()
        with self.log.open("wb") as log_file:
            return subprocess.Popen(
                [sys.executable, "-c", BUILD],
                env={**clean(), "BENTOML_HOME": str(self.store)},
                cwd=self.context,
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        """Return this builder, to be used once."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, also if nothing was built."""
        if self.process:
            with contextlib.suppress(BrokenPipeError), self.process:  # closes its input
                self.process.kill()
            shutil.rmtree(self.state, ignore_errors=True)

    def build(self, version: str) -> None:
        """Build TASK:VERSION, then move it into the project's store in one step."""
        process = self.process = self.process or self._start()
        _fill(self.workspace, self.context, self.task, version)
        wheel_path = wheel.write(self.context / "wheels")
        lock = self.workspace.service_lock.read_text(encoding="utf-8")
        files.write_json(self.context / sbom.NAME, sbom.sbom(self.task, version, lock, wheel_path.name))
        self._run(process, _settings(self.context, self.task, version, f"{lock}\n./wheels/{wheel_path.name}"))
        target = folder(self.workspace, self.task, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        (self.store / "bentos" / self.task / version).replace(target)
        files.sync_folder(target.parent)
        files.write_text(target.with_name("latest"), version)

    def _run(self, process: subprocess.Popen[bytes], settings: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it failed before it read the settings
            assert process.stdin is not None  # noqa: S101 - for the type checker
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
        if process.wait():
            text = self.log.read_text(encoding="utf-8", errors="replace").strip()
            last_lines = "\n".join(text.splitlines()[-MAX_LOG_LINES:])
            raise PackageError(
                f"BentoML could not build {settings['name']}:\n{last_lines}",
                hint="see what is missing: tiltyard doctor",
            )


def build(workspace: Workspace, task: str, version: str) -> None:
    """Build TASK:VERSION."""
    with Builder(workspace, task) as builder:
        builder.build(version)


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
        "include": ["service.py", sbom.NAME, "wheels/*.whl", "packages/**"],
        "python": {"packages": [requirements], "lock_packages": False},  # the requirements are a lock file already
        "docker": {"python_version": "3.11"},
        "build_ctx": str(context),
    }


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
