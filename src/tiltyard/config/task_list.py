"""The roster: the tasks that params.yaml lists; stages are made for them, and commands mean them if none is named."""

from __future__ import annotations

import re

from tiltyard import files
from tiltyard.config import safe_yaml
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
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
    if odd := [name for name in names if not NAME.fullmatch(name)]:
        raise TaskError(f"{wanted}; received {odd[0][:80]!r}", "a name is that of a file in tasks/: iris, two_words")
    return sorted({*names})


def add(workspace: Workspace, name: str) -> bool:
    """Put a task on the roster; say whether it is new there."""
    with files.locked(workspace.params_lock):
        if name in listed(workspace):
            return False
        _write(workspace, [*listed(workspace), name], f"add {name} to its list `tasks` by hand")
        return True


def leave(workspace: Workspace, name: str) -> bool:
    """Take a task off the roster; say whether it was there."""
    with files.locked(workspace.params_lock):
        if name not in listed(workspace):
            return False
        others = [other for other in listed(workspace) if other != name]
        _write(workspace, others, f"take {name} out of its list `tasks` by hand")
        return True


def _write(workspace: Workspace, names: list[str], hint: str) -> None:
    """Write the list in its line, and leave the rest of the file as it is."""
    text = _text(workspace)
    found = LINE.search(text)
    if not found:
        raise TaskError("params.yaml: expected a line `tasks: [...]`", hint=hint)
    files.write_text(workspace.params, text.replace(found[0], f"tasks: [{', '.join(map(_spelled, sorted(names)))}]"))


def _spelled(name: str) -> str:
    """Quote a name that YAML would take for another thing: on, no, null."""
    return name if safe_yaml.parse(name, "params.yaml") == name else f'"{name}"'


def _text(workspace: Workspace) -> str:
    return workspace.params.read_text(encoding="utf-8") if workspace.params.is_file() else "tasks: []\n"
