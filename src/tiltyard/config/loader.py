"""Load task files: parse YAML, validate it, return a Task; errors name the key, the expected and the received value."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tiltyard.config import safe_yaml, schema_errors, task_list
from tiltyard.config.overrides import Changes, apply_changes, yaml_value
from tiltyard.config.task import FORMAT, Task
from tiltyard.errors import TaskError, newer_format, similar_names
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

Read = TypeVar("Read", bound=Settings)
MAX_SUGGESTIONS = 3  # names
MAX_LISTED = 5  # up to this many tasks, an error lists them all
SCHEMA_HINT = "see every key and its meaning: tiltyard schema"


def load(workspace: Workspace, name: str) -> Task:
    """Return a task by name."""
    if name not in workspace.tasks():
        raise unknown_task_error(workspace, name)
    path = f"tasks/{name}.yaml"
    return parse(safe_yaml.read_text(workspace.task_file(name), path), name, path)


def find_error(workspace: Workspace, name: str) -> TaskError | None:
    """Return the error in a task file, or None; raise if the name is neither a task file nor listed in params.yaml."""
    if name not in {*workspace.tasks(), *task_list.listed(workspace)}:
        raise unknown_task_error(workspace, name)
    try:
        load(workspace, name)
    except TaskError as error:
        return error
    return None


def unknown_task_error(workspace: Workspace, name: str) -> TaskError:
    """Return the error for a name without a task file; suggest similar names, or list all if there are few."""
    if name in task_list.listed(workspace):
        hint = f"remove it from the list: tiltyard remove {name}"
        return TaskError(f"tasks/{name}.yaml is gone, and params.yaml still lists {name}", hint)
    task_names = workspace.tasks()
    near = similar_names(name, task_names, limit=MAX_SUGGESTIONS, min_similarity=0.5)
    if not task_names:
        return TaskError(f"no task '{name}': there are none yet", "draft one: tiltyard init NAME --data FILE")
    if len(task_names) <= MAX_LISTED:
        return TaskError(f"no task '{name}': expected one of {', '.join(task_names)}", "list them: tiltyard status")
    suggestion = (
        f"did you mean {' or '.join(near)}?" if near else f"none of the {len(task_names)} tasks has a similar name"
    )
    return TaskError(f"no task '{name}': {suggestion}", "list them: ls tasks")


def load_with(workspace: Workspace, name: str, changes: Changes) -> Task:
    """Return a task with other values for some keys, validated like those in the file."""
    path = f"tasks/{name}.yaml"
    data = read(workspace.task_file(name), path)
    return _build_variant({**data, "name": name}, f"{path}, with ", changes)


@functools.lru_cache(maxsize=256)  # a run reads each file many times; a task cannot be changed
def parse(text: str, name: str, path: str) -> Task:
    """Return a task from YAML text; `path` is used in errors."""
    return _build_task(content(text, path), name, path)


def _build_task(data: dict[str, Any], name: str, path: str) -> Task:
    if isinstance(received := data.get("format", FORMAT), int) and received > FORMAT:
        raise TaskError(*newer_format(path, received, FORMAT))  # before its unknown keys are called mistakes
    if data.setdefault("name", name) != name:
        raise TaskError(f"{path}: name: expected '{name}', the file's name; received {data['name']!r}")
    task = build(Task, data, path)
    for key, span in task.search.items():
        for value in span.values_to_validate:
            _build_variant(data, f"{path}: search, with ", {key: value})
    return task


def content(text: str, path: str) -> dict[str, Any]:
    """Return the keys and values in YAML text."""
    return _section(safe_yaml.parse(text, path), path)


def read(path: Path, label: str) -> dict[str, Any]:
    """Return the keys and values in a YAML file; `label` is its name in messages."""
    return _section(safe_yaml.read(path, label), label)


def _section(data: Any, path: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TaskError(f"{path}: expected keys and values; received {type(data).__name__}", hint=SCHEMA_HINT)
    return data


def build(kind: type[Read], data: dict[str, Any], path: str, hint: str = SCHEMA_HINT) -> Read:
    """Validate keys and values; raise a TaskError with one sentence for each error."""
    try:
        return kind.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise TaskError("\n".join(schema_errors.sentences(path, data, error)), hint) from None


def _build_variant(data: dict[str, Any], path: str, changes: Changes) -> Task:
    """Return a task with changes; errors begin with these changes."""
    label = path + ", ".join(f"{key}={yaml_value(value)}" for key, value in changes.items())
    try:
        return build(Task, apply_changes(data, changes), label)
    except TaskError as error:
        raise TaskError(error.message if error.message.startswith(label) else f"{path}{error}", error.hint) from None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of task files for editors; `name` is optional, as it is that of the file."""
    schema = Task.model_json_schema()
    schema["required"].remove("name")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A Tiltyard task"}


def write_schema(path: Path) -> None:
    """Write the schema that the first line of each task file refers to."""
    path.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
