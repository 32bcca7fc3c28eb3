"""Rows of a base task in transfer learning: a task may not be tested on rows that its base was trained with.

`prepare` writes the content hashes of training and validation rows. Before a training that starts from a base, the
sealed test rows are hashed in the same way and compared. Rows of equal content are found; pictures that were compressed
again or cropped are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TrainingError
from tiltyard.preparation import array_file
from tiltyard.preparation.row_hashes import row_keys
from tiltyard.preparation.sealed_test import read_test
from tiltyard.preparation.split import Parts
from tiltyard.preparation.training_rows import rows_digest
from tiltyard.workspace import Workspace

FILE = "row_hashes.npz"
PARTS = ("train", "validation")
MAX_NAMED = 5  # test rows in one sentence

Json = dict[str, Any]


def write(folder: Path, keys: Array, parts: Parts, seed: int) -> None:
    """Write the content hashes of training and validation rows, and the seed that they depend on."""
    with array_file.npz_writer(folder / FILE) as write_array:
        for name in PARTS:
            write_array(name, len(parts[name]), [keys[parts[name]]])
        write_array("seed", 1, [np.array([seed])])


def checked_base(workspace: Workspace, task: Task) -> Json:
    """Return what the base of a task was trained with; refuse a base that knows rows of the sealed test part."""
    return _checked(workspace, task, task.model.base_task)


def _checked(workspace: Workspace, task: Task, base: str) -> Json:
    """Check one base, and the base that it started from itself."""
    prepared, training = workspace.out(base, "prepare"), workspace.out(base, "train") / "training.json"
    record: Json = files.read_json(training)
    if not (prepared / FILE).is_file() or record.get("prepared") != rows_digest(prepared):
        raise TrainingError(
            f"model.base: expected the rows that {base} was trained with; "
            "others are prepared now, or an earlier release trained it",
            hint=f"train it again: tiltyard run {base}",
        )
    _refuse_known_test_rows(workspace, task, base, prepared)
    facts = files.read_json(prepared / "split.json")
    before = record.get("base", {}).get("task")
    return {
        "data": facts["data"],
        "rows": {name: facts["rows"][name] for name in PARTS},
        **({"base": {**record["base"], **_checked(workspace, task, before)}} if before else {}),
    }


def _refuse_known_test_rows(workspace: Workspace, task: Task, base: str, prepared: Path) -> None:
    test = read_test(workspace, task.name, task.columns)
    with np.load(prepared / FILE, allow_pickle=False) as hashes:
        keys = row_keys(test.rows, int(hashes["seed"][0]))
        known = {name: np.isin(keys, hashes[name]) for name in PARTS}
    either = np.logical_or.reduce([*known.values()])
    if not either.any():
        return
    first = ", ".join(map(str, test.number[either][:MAX_NAMED]))
    raise DataError(
        f"model.base: expected a base that knows no test row of {task.name}; {either.sum():,} of {len(keys):,} sealed "
        f"test rows are among the rows of {base}: {known['train'].sum():,} among its training rows, "
        f"{known['validation'].sum():,} among its validation rows; the first are rows {first}",
        hint=f"exclude these rows from the source of tasks/{task.name}.yaml, or set a split whose test rows {base} "
        f"does not know, then: tiltyard prepare {task.name} --reseal; or set another model.base",
    )
