"""Generated ratings of books by readers, small enough to train in seconds."""

from __future__ import annotations

from typing import Any

import yaml

from tiltyard.data.sources.ratings import KINDS
from tiltyard.workspace import Workspace

ROW = {"reader": "r0", "book": "b0", "kind": "comedy", "pages": 300}
TASK: dict[str, Any] = {
    "title": "How readers rate books",
    "problem": "recommendation",
    "source": {"kind": "ratings", "users": 120, "items": 60, "each": 20},
    "rows": [1000, 100000],
    "columns": {
        "reader": {"type": "id"},
        "book": {"type": "id"},
        "kind": {"type": "category", "values": [*KINDS]},
        "pages": {"type": "number"},
    },
    "target": {
        "column": "rating",
        "bounds": [1, 5],
        "interaction": {"user": "reader", "item": "book", "title": "title", "relevant": 4},
    },
    "split": {"kind": "random"},
    "model": {"family": "two_tower", "factors": 8, "ranking_factors": 8},
    "train": {"epochs": 30, "batch_size": 64, "learning_rate": 0.02, "patience": 5},
    "gate": {"metric": "rmse", "slices": ["kind"], "slice_floor": 2.0},
    "serve": {"max_instances": 64, "example": ROW},
}


def write_readers(workspace: Workspace, name: str = "readers", **changes: Any) -> None:
    """Write the task, with changes of whole sections."""
    content = yaml.safe_dump({**TASK, **changes}, sort_keys=False, allow_unicode=True)
    workspace.task_file(name).write_text(content, encoding="utf-8")
