"""A clean table of customers with a column of each type, and its task, for tests that then corrupt them."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pydantic import TypeAdapter

from tiltyard import files, plugins
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.workspace import Workspace

ROWS = 900
TASK: dict[str, Any] = {
    "title": "Who comes again",
    "problem": "classification",
    "source": {"kind": "file", "path": "shop.csv"},
    "rows": [100, 100_000],
    "columns": {
        "age": {"type": "number", "bounds": [0, 120]},
        "income": {"type": "number", "missing": "median"},
        "height": {"type": "number"},
        "weight": {"type": "number"},
        "vip": {"type": "boolean"},
        "country": {"type": "category", "values": ["at", "de", "fr", "it"]},
        "shop": {"type": "category", "unseen": "bucket"},
        "since": {"type": "date"},
    },
    "target": {"column": "again", "classes": ["no", "yes"]},
    "split": {"kind": "chronological"},
    "model": {"family": "mlp", "units": [4]},
    "train": {"epochs": 1, "batch_size": 16},
    "gate": {"metric": "balanced_accuracy"},
    "serve": {},  # the example is a row of the table
}


def customers(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return the table; `tiltyard check` has no findings on it."""
    dice = np.random.default_rng(seed)
    age, income = dice.integers(18, 80, rows), dice.lognormal(10, 0.5, rows).round(2)
    chance = 1 / (1 + np.exp(-(age - 50) / 15 - (income > 25_000)))
    return pd.DataFrame(
        {
            "age": age,
            "income": np.where(dice.random(rows) < 0.05, np.nan, income),
            "height": dice.normal(170, 10, rows).round(3),
            "weight": dice.normal(70, 8, rows).round(3),
            "vip": np.where(dice.random(rows) < 0.4, "yes", "no"),
            "country": dice.choice(["at", "de", "fr", "it"], rows),
            "shop": dice.choice([f"shop{number}" for number in range(12)], rows),
            "since": pd.date_range("2020-01-01", periods=rows // 2 + 1).repeat(2)[:rows].strftime("%Y-%m-%d"),
            "again": np.where(dice.random(rows) < chance, "yes", "no"),
        }
    )


def write_task(workspace: Workspace, frame: pd.DataFrame, changes: dict[str, Any] | None = None) -> Task:
    """Write table and task into a workspace as if fetched; keys of changes are dotted paths."""
    content = copy.deepcopy(TASK)
    for key, value in (changes or {}).items():
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    content["serve"].setdefault("example", example(content["columns"], frame))
    workspace.task_file("shop").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    with files.atomic_folder(workspace.raw("shop")) as folder:
        frame.to_csv(folder / "table.csv", index=False)
    return loader.load(workspace, "shop")


def example(columns: dict[str, Any], frame: pd.DataFrame) -> Any:
    """Return an example instance: the first valid value of each column, from the clean table if there is none."""
    clean = customers(rows=10)
    cells = {name: [*frame.get(name, pd.Series()).dropna(), *clean.get(name, pd.Series()).dropna()] for name in columns}
    found = {name: _first_valid(settings, cells[name]) for name, settings in columns.items()}
    texts = [settings for settings in columns.values() if settings["type"] == "text"]
    return next(iter(found.values())) if texts else found


def _first_valid(settings: dict[str, Any], cells: list[Any]) -> Any:
    column = TypeAdapter[Column](plugins.union("columns", "type")).validate_python(settings, strict=False)
    plain = [cell.item() if isinstance(cell, np.generic) else cell for cell in cells]
    for value in column.read([*plain, "2020-01-01"]):
        with contextlib.suppress(RequestError):
            column.parse([value], "")
            return value
    raise AssertionError(f"no cell fits {settings}")
