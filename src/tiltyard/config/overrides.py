"""A variant of a task: the same file in which some keys, spelled with dots, have other values."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from tiltyard.errors import TaskError

Changes = Mapping[str, Any]  # train.learning_rate -> 0.01; model.units.0 is the first of a list
SECTIONS = ("model", "train")  # what leaves rows, split and test part as they are


def changed(data: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return the content of a task file with other values; whether they make sense is for the task to say."""
    content = copy.deepcopy(data)
    for key, value in changes.items():
        _refuse_elsewhere(key)
        *parents, last = key.split(".")
        section: Any = content
        for depth, parent in enumerate(parents, start=1):
            if isinstance(section, dict):
                section.setdefault(parent, {})
            section = _inside(section, parent, ".".join(parents[:depth]))
        if isinstance(section, dict):
            section[last] = value
        else:
            _inside(section, last, key)
            section[int(last)] = value
    return content


def spelled(changes: Changes) -> str:
    """Name a variant by what it changes, for people: optimizer=adam, units=[64, 32]."""
    return ", ".join(f"{key.partition('.')[2]}={shown(value)}" for key, value in changes.items())


def shown(value: Any) -> str:
    """Spell a value as a task file would hold it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return decimal(value) if isinstance(value, float) else str(value)


def decimal(value: float) -> str:
    """Spell a number without an exponent: YAML reads 1e-05 as a word."""
    text = str(int(value)) if value % 1 == 0 else repr(value)
    return f"{value:.12f}".rstrip("0") if "e-" in text else text


def _refuse_elsewhere(key: str) -> None:
    if key.partition(".")[0] not in SECTIONS or "." not in key:
        raise TaskError(
            f"{key}: expected a key of {' or '.join(SECTIONS)}, such as train.learning_rate; others change the rows",
            hint="see every key and its meaning: tiltyard schema",
        )
    if key == "train.seed":
        raise TaskError("train.seed: expected a setting; a seed is luck")


def _inside(section: Any, part: str, path: str) -> Any:
    """Step into a section or a list."""
    if isinstance(section, dict):
        return section[part]
    if isinstance(section, list) and part.isdecimal() and int(part) < len(section):
        return section[int(part)]
    there = f"a list of {len(section)}" if isinstance(section, list) else repr(section)
    raise TaskError(f"{path}: expected keys to go into; there is {there}")
