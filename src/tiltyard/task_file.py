"""Reading task files: YAML in, a Task out; a complaint names the key, what was expected and what was received."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tiltyard.errors import TaskError
from tiltyard.strict import Strict
from tiltyard.task import Task
from tiltyard.variant import Changes, changed, shown
from tiltyard.workspace import Workspace

Read = TypeVar("Read", bound=Strict)
SCHEMA_HINT = "see every key and its meaning: tiltyard schema"


def load(workspace: Workspace, name: str) -> Task:
    """Read one task by name."""
    path = workspace.task_file(name)
    if name not in workspace.tasks():
        known = ", ".join(workspace.tasks()) or "none yet"
        raise TaskError(f"no task '{name}': expected one of {known}", hint="list them: tiltyard status")
    return parse(path.read_text(encoding="utf-8"), name, f"tasks/{name}.yaml")


def varied(workspace: Workspace, name: str, changes: Changes) -> Task:
    """Read one task as if some keys had other values, which are checked as if they stood there."""
    path = f"tasks/{name}.yaml"
    data = content(workspace.task_file(name).read_text(encoding="utf-8"), path)
    return _varied({**data, "name": name}, f"{path}, with ", changes)


def parse(text: str, name: str, path: str) -> Task:
    """Read a task from YAML text; `path` is for the complaint."""
    data = content(text, path)
    if data.setdefault("name", name) != name:
        raise TaskError(f"{path}: name: expected '{name}', the file's name; received {data['name']!r}")
    task = strict(Task, data, path)
    for key, span in task.search.items():
        for value in span.checked:
            _varied(data, f"{path}: search, with ", {key: value})
    return task


def content(text: str, path: str) -> dict[str, Any]:
    """Read keys and values from YAML text."""
    try:
        data = yaml.load(text, Loader=_OnceLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise TaskError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise TaskError(f"{path}: expected keys and values; received {type(data).__name__}", hint=SCHEMA_HINT)
    return data


def strict(kind: type[Read], data: dict[str, Any], path: str, hint: str = SCHEMA_HINT) -> Read:
    """Make what keys and values describe; a mistake is a sentence."""
    try:
        return kind.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise TaskError(_complain(path, data, error), hint) from None
    except RecursionError:
        raise TaskError(f"{path}: nested too deeply", hint) from None


def _varied(data: dict[str, Any], path: str, changes: Changes) -> Task:
    """Make a variant; the complaint begins with what was changed."""
    told = path + ", ".join(f"{key}={shown(value)}" for key, value in changes.items())
    try:
        return strict(Task, changed(data, changes), told)
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


def _complain(path: str, data: Any, error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(_keys(data, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        if problem["type"] == "missing":
            text = "expected this key; it is missing"
        elif problem["type"] not in {"unknown_key", "value_error"} and not isinstance(problem["input"], dict):
            text += f"; received {problem['input']!r}"
        lines.append(f"{path}: {key + ': ' if key else ''}{text}")
    return "\n".join(lines)


def _keys(data: Any, location: tuple[int | str, ...]) -> list[str]:
    """Give the keys as they stand in the file: pydantic's location also holds the plug-in's name."""
    keys = []
    for place, part in enumerate(location):
        inside = isinstance(data, dict) and part in data
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if inside or listed:
            data = data[part]
        if inside or listed or (place == len(location) - 1 and not str(part).startswith("function-")):
            keys.append(str(part))
    return keys


class _OnceLoader(yaml.SafeLoader):
    """YAML in which a key may stand only once: PyYAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' twice", key_node.start_mark)
            seen.add(str(key))
        return super().construct_mapping(node, deep)
