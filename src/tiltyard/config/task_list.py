"""The list of tasks in params.yaml: dvc.yaml has stages for them, and commands without names apply to all of them."""

from __future__ import annotations

import re

from tiltyard import files
from tiltyard.config import safe_yaml
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
LINE = re.compile(r"^tasks: *\[(.*?)\]", re.MULTILINE | re.DOTALL)


def listed(workspace: Workspace) -> list[str]:
    """Return the names in the list."""
    expected, hint = "params.yaml: expected a list `tasks` of names", "write: tasks: [iris, sine]"
    try:
        content = safe_yaml.read(workspace.params, "params.yaml") if workspace.params.exists() else {"tasks": []}
    except TaskError as error:
        raise TaskError(f"{expected}; {error.message}", hint) from None
    names = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TaskError(expected, hint)
    if odd := [name for name in names if not NAME.fullmatch(name)]:
        raise TaskError(f"{expected}; received {odd[0][:80]!r}", "use the name of a file in tasks/: iris, two_words")
    return sorted({*names})


def add(workspace: Workspace, name: str) -> bool:
    """Add a task to the list; return whether it is new."""
    with files.locked(workspace.params_lock):
        if name in listed(workspace):
            return False
        _write(workspace, [*listed(workspace), name], f"add {name} to its list `tasks` by hand")
        return True


def remove(workspace: Workspace, name: str) -> bool:
    """Remove a task from the list; return whether it was there."""
    with files.locked(workspace.params_lock):
        if name not in listed(workspace):
            return False
        remaining = [task_name for task_name in listed(workspace) if task_name != name]
        _write(workspace, remaining, f"remove {name} from its list `tasks` by hand")
        return True


def _write(workspace: Workspace, names: list[str], hint: str) -> None:
    """Write the list, and keep the rest of the file."""
    text = _text(workspace)
    match = LINE.search(text)
    if not match:
        raise TaskError("params.yaml: expected a line `tasks: [...]`", hint=hint)
    files.write_text(workspace.params, text.replace(match[0], f"tasks: [{', '.join(map(_quoted, sorted(names)))}]"))


def _quoted(name: str) -> str:
    """Quote a name that YAML would not read as text, such as null."""
    return name if safe_yaml.parse(name, "params.yaml") == name else f'"{name}"'


def _text(workspace: Workspace) -> str:
    return workspace.params.read_text(encoding="utf-8") if workspace.params.is_file() else "tasks: []\n"
