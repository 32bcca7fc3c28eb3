"""The roster: the tasks that params.yaml lists; stages are made for them, and commands mean them if none is named."""

from __future__ import annotations

import re

from tiltyard import files, safe_yaml
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace

LINE = re.compile(r"^tasks: *\[(.*?)\]", re.MULTILINE | re.DOTALL)


def listed(workspace: Workspace) -> list[str]:
    """Return the names on the roster."""
    wanted, hint = "params.yaml: expected a list `tasks` of names", "write: tasks: [iris, sine]"
    try:
        content = safe_yaml.read(workspace.params, "params.yaml") if workspace.params.exists() else {"tasks": []}
    except TaskError as error:
        raise TaskError(f"{wanted}; {error.message}", hint) from None
    names = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TaskError(wanted, hint)
    return sorted({*names})


def enter(workspace: Workspace, name: str) -> bool:
    """Put a task on the roster; say whether it is new there."""
    if name in listed(workspace):
        return False
    text = _text(workspace)
    found = LINE.search(text)
    if not found:
        raise TaskError("params.yaml: expected a line `tasks: [...]`", hint=f"add {name} to its list `tasks` by hand")
    names = ", ".join(sorted([*listed(workspace), name]))
    files.write_text(workspace.params, text.replace(found[0], f"tasks: [{names}]"))
    return True


def _text(workspace: Workspace) -> str:
    return workspace.params.read_text(encoding="utf-8") if workspace.params.is_file() else "tasks: []\n"
