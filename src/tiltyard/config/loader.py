"""Reading task files: YAML in, a Task out; a complaint names the key, what was expected and what was received."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tiltyard.config import safe_yaml, schema_errors, task_list
from tiltyard.config.overrides import Changes, changed, shown
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

Read = TypeVar("Read", bound=Settings)
NEAR = 3  # names that a complaint suggests
SHORT = 5  # names that are listed, whatever was meant
SCHEMA_HINT = "see every key and its meaning: tiltyard schema"


def load(workspace: Workspace, name: str) -> Task:
    """Read one task by name."""
    if name not in workspace.tasks():
        raise unknown(workspace, name)
    path = f"tasks/{name}.yaml"
    return _made(read(workspace.task_file(name), path), name, path)


def mistake(workspace: Workspace, name: str) -> TaskError | None:
    """Return what is wrong with the file of a task; a name that no task has, and none had, is raised."""
    if name not in {*workspace.tasks(), *task_list.listed(workspace)}:
        raise unknown(workspace, name)
    try:
        load(workspace, name)
    except TaskError as error:
        return error
    return None


def unknown(workspace: Workspace, name: str) -> TaskError:
    """Return the complaint about a name without a task file: the nearest names, or all where they are few."""
    if name in task_list.listed(workspace):
        hint = f"take it off the list: tiltyard remove {name}"
        return TaskError(f"tasks/{name}.yaml is gone, and params.yaml still lists {name}", hint)
    known = workspace.tasks()
    near = difflib.get_close_matches(name, known, n=NEAR, cutoff=0.5)
    if not known:
        return TaskError(f"no task '{name}': there are none yet", "draft one: tiltyard init NAME --data FILE")
    if len(known) <= SHORT:
        return TaskError(f"no task '{name}': expected one of {', '.join(known)}", "list them: tiltyard status")
    meant = f"did you mean {' or '.join(near)}?" if near else f"none of the {len(known)} tasks is called anything alike"
    return TaskError(f"no task '{name}': {meant}", "list them: ls tasks")


def load_with(workspace: Workspace, name: str, changes: Changes) -> Task:
    """Read one task as if some keys had other values, which are checked as if they stood there."""
    path = f"tasks/{name}.yaml"
    data = read(workspace.task_file(name), path)
    return _varied({**data, "name": name}, f"{path}, with ", changes)


def parse(text: str, name: str, path: str) -> Task:
    """Read a task from YAML text; `path` is for the complaint."""
    return _made(content(text, path), name, path)


def _made(data: dict[str, Any], name: str, path: str) -> Task:
    if data.setdefault("name", name) != name:
        raise TaskError(f"{path}: name: expected '{name}', the file's name; received {data['name']!r}")
    task = build(Task, data, path)
    for key, span in task.search.items():
        for value in span.checked:
            _varied(data, f"{path}: search, with ", {key: value})
    return task


def content(text: str, path: str) -> dict[str, Any]:
    """Read keys and values from YAML text."""
    return _section(safe_yaml.parse(text, path), path)


def read(path: Path, shown: str) -> dict[str, Any]:
    """Read keys and values from a YAML file; `shown` is its name in messages."""
    return _section(safe_yaml.read(path, shown), shown)


def _section(data: Any, path: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TaskError(f"{path}: expected keys and values; received {type(data).__name__}", hint=SCHEMA_HINT)
    return data


def build(kind: type[Read], data: dict[str, Any], path: str, hint: str = SCHEMA_HINT) -> Read:
    """Make what keys and values describe; a mistake is a sentence."""
    try:
        return kind.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise TaskError("\n".join(schema_errors.sentences(path, data, error)), hint) from None


def _varied(data: dict[str, Any], path: str, changes: Changes) -> Task:
    """Make a variant; the complaint begins with what was changed."""
    told = path + ", ".join(f"{key}={shown(value)}" for key, value in changes.items())
    try:
        return build(Task, changed(data, changes), told)
    except TaskError as error:
        raise TaskError(error.message if error.message.startswith(told) else f"{path}{error}", error.hint) from None


def json_schema() -> dict[str, Any]:
    """Describe a task file to an editor; the name may be left out, being the file's."""
    schema = Task.model_json_schema()
    schema["required"].remove("name")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A Tiltyard task"}


def write_schema(path: Path) -> None:
    """Write the schema that the first line of every task file points to."""
    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
