"""The plan of a study, from a file or the command line: variants of a task, seeds, and rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from tiltyard.config import loader, safe_yaml
from tiltyard.config.overrides import yaml_value
from tiltyard.errors import TaskError, join_first
from tiltyard.settings import Settings


@dataclass(frozen=True)
class Variant:
    """A name, and the changes to the task file."""

    name: str
    changes: dict[str, Any]


class Plan(Settings):
    """A study: studies/NAME.yaml. Every variant is trained with the same seeds on the same rows."""

    task: str
    title: str = ""
    variants: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Variants by name: keys and their values."
    )
    vary: dict[str, list[Any]] = Field(default_factory=dict, description="Values by key; a grid of all combinations.")
    set: dict[str, Any] = Field(default_factory=dict, description="Keys that are the same in all variants.")
    repeat: int = Field(5, ge=2, le=100, description="Number of seeds: train.seed of the task and those after it.")
    folds: int | None = Field(
        None,
        ge=2,
        le=50,
        description="Instead of seeds: train each variant on each of so many folds, and choose by mean and spread.",
    )
    rows: int | None = Field(None, ge=10, description="Training rows to use; validation rows in proportion.")

    @property
    def unit(self) -> str:
        """What the trainings of a variant differ by."""
        return "folds" if self.folds else "seeds"

    @property
    def count(self) -> int:
        """Trainings of each variant."""
        return self.folds or self.repeat

    @model_validator(mode="after")
    def _folds_or_seeds(self) -> Plan:
        if self.folds and "repeat" in self.model_fields_set:
            raise ValueError("folds: expected without repeat, since each fold is one training; received both")
        return self

    def all_variants(self) -> list[Variant]:
        """Return the product of named variants and varied values; the first is the reference."""
        named = list(self.variants.items()) or [("", {})]
        grid = [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]
        variants = [
            Variant(", ".join(filter(None, [name, _name(varied)])), {**self.set, **changes, **varied})
            for name, changes in named
            for varied in grid
        ]
        names = [variant.name for variant in variants]
        if len(variants) < 2 or len({*names}) < len(names):
            raise TaskError(
                f"study: expected 2 or more variants, each once; received {join_first(names) if names[0] else 'none'}",
                hint="name them: --vary train.optimizer=sgd,adam",
            )
        return variants


def read(path: Path) -> Plan:
    """Read a plan from a file."""
    if not path.is_file():
        raise TaskError(f"no study {path}: expected a file such as studies/optimizers.yaml, or the name of a task")
    content = loader.read(path, str(path))
    return loader.build(Plan, content, str(path), hint="see studies/ for examples")


def from_cli(
    task: str,
    vary: tuple[str, ...],
    settings: tuple[str, ...],
    **numbers: int | None,
) -> tuple[str, Plan]:
    """Return name and plan of a command: a file's, or a task with varied keys; `numbers` replace those of the plan."""
    path, given = Path(task), {key: value for key, value in numbers.items() if value is not None}
    if "folds" in given and "repeat" in given:
        raise TaskError("study: expected --folds or --repeat, since each fold is one training; received both")
    is_file = path.suffix in (".yaml", ".yml")
    if is_file and (vary or settings):
        raise TaskError(f"study: expected --vary and --set for a task; {task} has its own", hint=f"edit {task}")
    plan = read(path) if is_file else from_arguments(task, vary, settings)
    name = path.stem if is_file else "-".join([task, *(key.rpartition(".")[2] for key in plan.vary)])
    return name, plan.model_copy(update={**({"folds": None} if "repeat" in given else {}), **given})


def from_arguments(task: str, vary: Iterable[str], settings: Iterable[str]) -> Plan:
    """Parse arguments: KEY=VALUE,VALUE to vary, KEY=VALUE to set."""
    content = {
        "task": task,
        "vary": {key: _values(text) for key, text in map(_split_pair, vary)},
        "set": {key: _value(text) for key, text in map(_split_pair, settings)},
    }
    return loader.build(Plan, content, "study", hint="name variants: --vary train.optimizer=sgd,adam")


def _split_pair(argument: str) -> tuple[str, str]:
    key, sign, text = argument.partition("=")
    if not sign or not text.strip():
        raise TaskError(f"study: expected KEY=VALUE,VALUE; received {argument}")
    return key.strip(), text


def _values(text: str) -> list[Any]:
    """Parse values as in a task file: sgd,adam or [64],[64, 32]."""
    return [_to_number(value) for value in _parse_yaml(f"[{text}]")]


def _value(text: str) -> Any:
    return _to_number(_parse_yaml(text))


def _parse_yaml(text: str) -> Any:
    try:
        return safe_yaml.parse(text, "study")
    except TaskError:
        raise TaskError(f"study: expected values as in a task file; received {text}") from None


def _to_number(value: Any) -> Any:
    """Convert 1e-3 to a number, which YAML reads as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _name(changes: dict[str, Any]) -> str:
    """Name a variant by its values: text stands alone, a number needs its key."""
    parts = [
        value if isinstance(value, str) else f"{key.rpartition('.')[2]}={yaml_value(value)}"
        for key, value in changes.items()
    ]
    return ", ".join(parts)
