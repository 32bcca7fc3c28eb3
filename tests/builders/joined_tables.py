"""A task whose rows come from two files: visits to shops, joined with the shops by their number."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data import fetch, versions
from tiltyard.data.dvc import Pointer
from tiltyard.workspace import Workspace

SHOPS = 20
TASK: dict[str, Any] = {
    "title": "Who buys something",
    "problem": "classification",
    "source": {"kind": "file", "path": "visits.csv"},
    "joins": {
        "shops": {
            "source": {"kind": "file", "path": "shops.csv"},
            "key": {"shop": "number"},
            "unmatched": "refuse",
            "columns": ["size", "town"],
        }
    },
    "rows": [100, 10_000],
    "columns": {
        "age": {"type": "number", "bounds": [0, 120]},
        "size": {"type": "number", "bounds": [0, 1000]},
        "town": {"type": "category", "values": ["graz", "linz", "wien"]},
    },
    "target": {"column": "bought", "classes": ["no", "yes"]},
    "split": {"kind": "random"},
    "model": {"family": "mlp", "units": [4]},
    "train": {"epochs": 2, "batch_size": 16},
    "gate": {"metric": "balanced_accuracy"},
    "serve": {"example": {"age": 40, "size": 120.5, "town": "wien"}},
}


def shops() -> pd.DataFrame:
    """Return the shops: number, size and town."""
    chance = np.random.default_rng(1)
    towns = [("graz", "linz", "wien")[number % 3] for number in range(SHOPS)]
    return pd.DataFrame({"number": range(1, SHOPS + 1), "size": chance.uniform(20, 400, SHOPS).round(1), "town": towns})


def visits(rows: int = 600) -> pd.DataFrame:
    """Return the visits: those to large shops in Vienna end with a purchase more often."""
    chance = np.random.default_rng(0)
    shop = chance.integers(1, SHOPS + 1, rows)
    joined = shops().set_index("number").loc[shop]
    likely = 1 / (1 + np.exp(-(joined["size"].to_numpy() - 200) / 40 - 2 * (joined["town"] == "wien").to_numpy()))
    bought = np.where(chance.random(rows) < likely, "yes", "no")
    return pd.DataFrame({"shop": shop, "age": chance.integers(18, 90, rows), "bought": bought})


def write_sources(
    space: Workspace, main: pd.DataFrame | None = None, joined: pd.DataFrame | None = None, **changes: Any
) -> Task:
    """Write both files and the task; `changes` are those of the join."""
    (visits() if main is None else main).to_csv(space.root / "visits.csv", index=False)
    (shops() if joined is None else joined).to_csv(space.root / "shops.csv", index=False)
    content = copy.deepcopy(TASK)
    content["joins"]["shops"] |= changes
    files.write_text(space.task_file("visits"), yaml.safe_dump(content, sort_keys=False))
    return loader.load(space, "visits")


def fetch_joined(
    space: Workspace, main: pd.DataFrame | None = None, joined: pd.DataFrame | None = None, **changes: Any
) -> Task:
    """Write files and task, and fetch the raw data, without DVC."""
    task = write_sources(space, main, joined, **changes)
    with files.atomic_folder(space.raw(task.name)) as folder:
        fetch.write_raw(task, folder, space)
    pointer = Pointer(md5=f"{0:032x}.dir", size=1, nfiles=2)
    versions.record(space, task.name, files.sha256(space.raw(task.name)), pointer)
    return task
