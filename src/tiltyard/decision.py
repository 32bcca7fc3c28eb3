"""A decision about a version: what was decided, why, on what evidence, by whom."""

from __future__ import annotations

import getpass
import os
import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

import tiltyard
from tiltyard import files
from tiltyard.workspace import Workspace

CODE = ("src", "pipelines", "tasks", "dvc.yaml", "params.yaml")  # what a commit must hold for a figure to be traced

TRAFFIC = {"CHALLENGE", "END"}  # verdicts that begin and end a shadow or canary, and judge nothing


class Decision(BaseModel):
    """One line of the ledger; the champion's pointer holds the decision that made it champion."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may write more

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    time: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    task: str
    verdict: Literal["PROMOTE", "HOLD", "REJECT", "ROLLBACK", "APPROVE", "CHALLENGE", "END"]
    version: str
    champion: str | None = None  # the version before
    reasons: list[str]
    checks: list[dict[str, Any]] = Field(default_factory=list)
    metric: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    baseline: dict[str, float] = Field(default_factory=dict)
    evidence: dict[str, Any] = Field(default_factory=dict)
    data: str = ""
    test: str = ""
    fingerprint: str = ""  # of all that was judged: the same again needs no second line
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    commit: str | None = None
    dirty: bool | None = None
    who: str = ""


def provenance(workspace: Workspace) -> dict[str, Any]:
    """Say who decides, with which code; outside git the commit is None."""
    commit = _git(workspace, "rev-parse", "HEAD")
    changes = _git(workspace, "status", "--porcelain", "--untracked-files=all", "--", *CODE)
    dirty = None if commit is None or changes is None else bool(changes)
    return {"commit": commit, "dirty": dirty, "who": _who()}


def code() -> str:
    """Hash the code that is running, byte by byte."""
    folder = Path(tiltyard.__file__).parent
    return files.sha256(*sorted(folder.rglob("*.py")))


def _git(workspace: Workspace, *arguments: str) -> str | None:
    command = ["git", "-C", str(workspace.root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _who() -> str:
    """Give TILTYARD_ACTOR, for schedulers and CI, or the user; a container may know no name for its user."""
    try:
        return os.environ.get("TILTYARD_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
