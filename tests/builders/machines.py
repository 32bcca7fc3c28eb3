"""Measurements of machines that depend on two causes, with columns of all types that can be reconstructed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import yaml

from tiltyard.workspace import Workspace

KINDS: list[Any] = ["drill", "lathe", "saw"]
ROW = {"load": 0.4, "heat": 61.5, "noise": None, "parts": 12.0, "kind": "lathe", "old": True}
TASK: dict[str, Any] = {
    "title": "Measurements of machines",
    "problem": "reconstruction",
    "source": {"kind": "file", "path": "machines.csv"},
    "rows": [100, 10000],
    "columns": {
        "load": {"type": "number"},
        "heat": {"type": "number", "unit": "°C"},
        "noise": {"type": "number", "missing": "median"},
        "parts": {"type": "number", "log": True},
        "kind": {"type": "category", "values": KINDS},
        "old": {"type": "boolean"},
    },
    "split": {"kind": "random"},
    "model": {"family": "autoencoder", "units": [32], "code": 3},
    "train": {"epochs": 120, "batch_size": 32, "learning_rate": 0.01},
    "gate": {"metric": "mse", "slices": ["kind", "heat"], "slice_floor": 0.2},
    "serve": {"max_instances": 64, "example": ROW},
}


def machines(rows: int = 400) -> pd.DataFrame:
    """Return the table; a tenth of the noises are missing."""
    dice = np.random.default_rng(0)
    load, age = dice.normal(size=(2, rows))
    noise = 3 * load + age + 0.2 * dice.normal(size=rows)
    return pd.DataFrame(
        {
            "load": load.round(4),
            "heat": (60 + 5 * load + 3 * age + 0.3 * dice.normal(size=rows)).round(3),
            "noise": np.where(dice.random(rows) < 0.1, np.nan, noise.round(3)),
            "parts": np.expm1(np.clip(2 + 0.5 * age, 0, None)).round(2),
            "kind": np.array(KINDS)[np.digitize(load, [-0.5, 0.5])],
            "old": age > 0,
        }
    )


def write_machines(workspace: Workspace, name: str = "machines", **changes: Any) -> None:
    """Write the table and its task, with changes of whole sections."""
    machines().to_csv(workspace.root / "machines.csv", index=False)
    content = yaml.safe_dump({**TASK, **changes}, sort_keys=False, allow_unicode=True)
    workspace.task_file(name).write_text(content, encoding="utf-8")
