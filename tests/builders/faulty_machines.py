"""Measurements of machines, some of which are faulty: their heat does not follow from their load."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import yaml
from machines import TASK, machines

from tiltyard.workspace import Workspace

CHANGES: dict[str, Any] = {
    "title": "Faulty machines",
    "problem": "anomaly",
    "target": {"column": "state", "normal": ["ok"]},
    "train": {
        "epochs": 120,
        "batch_size": 32,
        "learning_rate": 0.01,
        "anomaly": {"score": "density", "false_alarms": 0.05},
    },
    "gate": {"metric": "roc_auc"},
}


def faulty_machines(rows: int = 500, faults: int = 60) -> pd.DataFrame:
    """Return the table with the column state, which is empty in some rows."""
    frame, dice = machines(rows), np.random.default_rng(1)
    frame["state"] = "ok"
    frame.loc[rows - 20 :, "state"] = None
    frame.loc[: faults - 1, "state"] = dice.choice(["hot", "cold"], faults)
    signs = np.where(frame["state"][:faults] == "hot", 1, -1)
    frame.loc[: faults - 1, "heat"] = frame["heat"][:faults] + signs * dice.uniform(8, 16, faults)
    return frame


def write_faulty_machines(workspace: Workspace, name: str = "faulty", **changes: Any) -> None:
    """Write the table and its task, with changes of whole sections; a section that is None is left out."""
    faulty_machines().to_csv(workspace.root / "machines.csv", index=False)
    content = {key: value for key, value in {**TASK, **CHANGES, **changes}.items() if value is not None}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    workspace.task_file(name).write_text(text, encoding="utf-8")
