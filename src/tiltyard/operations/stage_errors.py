"""The errors that stages of runs have left: each stays until the stage is started again."""

from __future__ import annotations

from tiltyard import files
from tiltyard.workspace import Workspace


def stage_errors(workspace: Workspace, task: str) -> dict[str, str]:
    """Return the message of each stage whose last run failed, by its verb."""
    found: dict[str, str] = {}
    for path in sorted(workspace.stages(task).glob("*.error.json")):
        try:
            content = files.read_json(path)
            found[path.name.partition(".")[0]] = str(content["message"])
        except (OSError, ValueError, KeyError, TypeError):  # the stage begins again, and removes it
            continue
    return found
