"""Overrides of a task: other values for some keys in dotted notation, such as train.learning_rate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tiltyard.errors import TaskError

Changes = Mapping[str, Any]  # train.learning_rate -> 0.01; model.units.0 is the first of a list
SECTIONS = ("model", "train", "ensemble")  # these do not change rows, split and test rows


def apply_changes(data: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return the content of a task file with other values, not validated yet."""
    content = copy.deepcopy(data)
    for key, value in changes.items():
        _require_changeable(key)
        *parents, last = key.split(".")
        section: Any = content
        for depth, parent in enumerate(parents, start=1):
            if isinstance(section, dict):
                section.setdefault(parent, {})
            section = _item(section, parent, ".".join(parents[:depth]))
        if isinstance(section, dict):
            section[last] = value
        else:
            _item(section, last, key)
            section[int(last)] = value
    return content


def describe_changes(changes: Changes) -> str:
    """Return the changes as text: optimizer=adam, units=[64, 32]."""
    return ", ".join(f"{key.partition('.')[2] or key}={yaml_value(value)}" for key, value in changes.items())


def yaml_value(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {yaml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(yaml_value, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return format_decimal(value) if isinstance(value, float) else str(value)


def format_decimal(value: float) -> str:
    """Return a number without an exponent: YAML 1.1 reads 1e-05 as text."""
    text = str(int(value)) if value % 1 == 0 else repr(value)
    return f"{value:.12f}".rstrip("0") if "e-" in text else text


def _require_changeable(key: str) -> None:
    if key != "ensemble" and (key.partition(".")[0] not in SECTIONS or "." not in key):
        raise TaskError(
            f"{key}: expected a key of {' or '.join(SECTIONS)}, such as train.learning_rate; others change the rows",
            hint="see every key and its meaning: tiltyard schema",
        )
    if key == "train.seed":
        raise TaskError("train.seed: expected a setting other than the seed")


def _item(section: Any, part: str, path: str) -> Any:
    """Return an item of a section or a list."""
    if isinstance(section, dict):
        return section[part]
    if isinstance(section, list) and part.isdecimal() and int(part) < len(section):
        return section[int(part)]
    received = f"a list of {len(section)}" if isinstance(section, list) else repr(section)
    raise TaskError(f"{path}: expected a section or a list that has it; received {received}")
