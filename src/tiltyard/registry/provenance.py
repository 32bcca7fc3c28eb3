"""Provenance of a decision: actor, commit, and the hash of the code that judges."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path
from typing import Any

import tiltyard
from tiltyard import files
from tiltyard.workspace import Workspace

TRACKED_PATHS = (
    "src",
    "pipelines",
    "tasks",
    "dvc.yaml",
    "params.yaml",
)  # files that make the tree dirty if they are not committed

# Code that a verdict depends on: after a change of it, held versions are judged again.
JUDGING_CODE = (
    *("evaluation", "gate", "modeling", "monitoring", "preparation", "plugins.py"),
    *("config/gate_section.py", "config/task.py", "registry/approve.py", "registry/decision.py"),
    *("serving/recording/drift_gauges.py", "serving/packaging/model_card.py"),
)


def provenance(workspace: Workspace) -> dict[str, Any]:
    """Return actor, commit and whether the working tree is dirty; outside git the commit is None."""
    commit = _git(workspace, "rev-parse", "HEAD")
    changes = _git(workspace, "status", "--porcelain", "--untracked-files=all", "--", *TRACKED_PATHS)
    dirty = None if commit is None or changes is None else bool(changes)
    return {"commit": commit, "dirty": dirty, "who": _actor()}


def code_digest() -> str:
    """Return the hash of the installed code that judges."""
    places = [Path(tiltyard.__file__).parent / name for name in JUDGING_CODE]
    return files.sha256(*(path for place in places for path in _modules(place)))


def _modules(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _git(workspace: Workspace, *arguments: str) -> str | None:
    command = ["git", "-C", str(workspace.root), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _actor() -> str:
    """Return TILTYARD_ACTOR, for schedulers and CI, or the user; a container may have no name for its user."""
    try:
        name = os.environ.get("TILTYARD_ACTOR") or getpass.getuser()
        return name.encode(errors="replace").decode()  # invalid UTF-8 arrives as surrogates, which cannot be written
    except (KeyError, OSError):
        return f"user {os.getuid()}"
