"""Where a decision comes from: who decides, with which code, as of which commit."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path
from typing import Any

import tiltyard
from tiltyard import files
from tiltyard.workspace import Workspace

CODE = ("src", "pipelines", "tasks", "dvc.yaml", "params.yaml")  # what a commit must hold for a figure to be traced

# What a verdict follows from: where a file of it changes, what was held is judged anew.
JUDGING = (
    *("evaluation", "gate", "modeling", "monitoring", "preparation", "plugins.py"),
    *("config/gate_section.py", "config/task.py", "registry/approve.py", "registry/decision.py"),
    *("serving/http/drift_gauges.py", "serving/packaging/model_card.py"),
)


def provenance(workspace: Workspace) -> dict[str, Any]:
    """Return who decides, with which code; outside git the commit is None."""
    commit = _git(workspace, "rev-parse", "HEAD")
    changes = _git(workspace, "status", "--porcelain", "--untracked-files=all", "--", *CODE)
    dirty = None if commit is None or changes is None else bool(changes)
    return {"commit": commit, "dirty": dirty, "who": _who()}


def code() -> str:
    """Hash the code that judges, as it is running, byte by byte."""
    places = [Path(tiltyard.__file__).parent / name for name in JUDGING]
    return files.sha256(*(path for place in places for path in _modules(place)))


def _modules(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _git(workspace: Workspace, *arguments: str) -> str | None:
    command = ["git", "-C", str(workspace.root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _who() -> str:
    """Return TILTYARD_ACTOR, for schedulers and CI, or the user; a container may know no name for its user."""
    try:
        name = os.environ.get("TILTYARD_ACTOR") or getpass.getuser()
        return name.encode(errors="replace").decode()  # bytes that are no UTF-8 come as what cannot be written
    except (KeyError, OSError):
        return f"user {os.getuid()}"
