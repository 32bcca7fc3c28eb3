"""Record of what was pushed last, so that a run without changes need not ask the remote."""

from __future__ import annotations

import hashlib

from tiltyard import files
from tiltyard.workspace import Workspace


def record(workspace: Workspace) -> None:
    """Record that all versions of now are in the remote."""
    files.write_text(workspace.pushed, _digest(workspace))


def is_pushed(workspace: Workspace) -> bool:
    """Return whether all versions of now were pushed to the remote of now."""
    return workspace.pushed.is_file() and workspace.pushed.read_text(encoding="utf-8") == _digest(workspace)


def _digest(workspace: Workspace) -> str:
    """Hash DVC's settings and everything that names a version: the lock file and the pointers."""
    named = [workspace.root / ".dvc" / "config", workspace.root / ".dvc" / "config.local", workspace.root / "dvc.lock"]
    named += [*workspace.root.glob("data/**/*.dvc"), *workspace.root.glob("serving/**/*.dvc")]
    digest = hashlib.sha256()
    for path in sorted(named):
        content = files.file_digest(path) if path.is_file() else b""
        digest.update(str(path.relative_to(workspace.root)).encode() + b"\0" + content)
    return digest.hexdigest()
