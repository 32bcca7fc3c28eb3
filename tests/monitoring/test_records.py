"""Traffic records: for every type of column, recorded instances are read back as they were sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.gate.checks.base import NotApplicableError
from tiltyard.gate.checks.drift import Drift as Check
from tiltyard.gate.duel import Duel
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.date import Date
from tiltyard.modeling.columns.id import Id
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.prose import Prose
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.drift_reference import reference
from tiltyard.monitoring import records
from tiltyard.monitoring.drift import compare_rows, drift_unavailable
from tiltyard.workspace import Workspace

# For each type of column, columns with values that a client may send.
SAMPLES: dict[str, list[tuple[Column, list[Any]]]] = {
    "number": [(Number(), [1, 2.5]), (Number(missing="median"), [None, 2.5, 4])],
    "boolean": [(Boolean(), [True, 0, 1, False]), (Boolean(missing="bucket"), [True, None, False])],
    "category": [
        (Category(values=["true", 7]), ["true", 7, "7"]),
        (Category(unseen="bucket", missing="bucket"), ["a", None, 7]),
    ],
    "date": [(Date(), ["2024-02-29", "2020-01-01"]), (Date(missing="median"), ["2024-02-29", None])],
    "text": [(Text(at_least=1), ["{a}", "some words"]), (Text(at_least=1, missing="empty"), ["words", None, ""])],
    "series": [(Series(window=2), [[1, 2], [2.5, 3]])],
    "prose": [(Prose(), ["once", {"prompt": "upon", "length": 3, "seed": 1}, '{"not": a prompt'])],
    "id": [(Id(), ["film 7", 12])],
    "image": [],  # images are not recorded
}
CASES = [pytest.param(*case, id=f"{name}-{i}") for name, cases in SAMPLES.items() for i, case in enumerate(cases)]


def test_samples_cover_every_column_type() -> None:
    """The samples above include every column type, so a new type must be added."""
    assert sorted(SAMPLES) == plugins.names("columns")


def single_column_task(workspace: Workspace, column: Column) -> Task:
    """Return a task with a single column, as far as records use it."""
    return loader.load(workspace, "iris").model_copy(update={"columns": {"x": column}})


def write_and_read(workspace: Workspace, task: Task, values: list[Any], *, closed: bool) -> list[Any]:
    """Record instances, each in a separate request, and return them as read back."""
    instances = [value if task.modality != "table" else {"x": value} for value in values]
    folder = workspace.records / task.name / "answers"
    folder.mkdir(parents=True)
    lines = [
        {
            "id": str(i),
            "time": 1.0,
            "version": "v",
            "arm": "champion",
            "ms": 1.0,
            "instances": [instance],
            "predictions": [1],
        }
        for i, instance in enumerate(instances)
    ]
    table = records._table(task, "answers", _write_log(folder, lines))
    return records._to_instances(task, _through_parquet(table, folder) if closed else table.select(["x"]))


def _write_log(folder: Path, lines: list[dict[str, Any]]) -> Path:
    path = folder / "0-0.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def _through_parquet(table: Any, folder: Path) -> Any:
    import pyarrow.parquet as pq

    pq.write_table(table, folder / "x.parquet")
    return pq.read_table(folder / "x.parquet").select(["x"])


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize(("column", "values"), CASES)
def test_recorded_instances_are_read_back_as_sent(
    workspace: Workspace, column: Column, values: list[Any], closed: bool
) -> None:
    """The encoder gets the same features from the record as from the request, and drift can be measured."""
    task = single_column_task(workspace, column)
    rows = write_and_read(workspace, task, values * 100, closed=closed)
    encoder = task.encoder()
    received = encoder.columns["x"].parse(values * 100, "x")
    stored = encoder.columns["x"].parse(rows if encoder.bare else [row["x"] for row in rows], "x")
    assert received.tobytes() == stored.tobytes()
    assert drift_unavailable(task, rows) in ("", "expected 200 recorded instances; received 200")
    if column.type == "prose":
        return  # text generation has no drift values
    object.__setattr__(encoder, "fitted", {"x": column.fit(received)})
    object.__setattr__(encoder, "max_instances", 64)
    comparison = compare_rows(task, encoder, reference(encoder, encoder.encode({"x": received})), rows)
    assert [(row["feature"], row["drifted"]) for row in comparison.columns] == [("x", False)]
    assert (comparison.rows, comparison.refused) == (len(rows), 0)


def test_drift_of_images_is_unavailable_since_they_are_not_recorded(workspace: Workspace) -> None:
    """The reason for images is that they are not recorded, not that there are too few."""
    assert drift_unavailable(loader.load(workspace, "digits"), []) == "images are not recorded"


def duel(task: Task, inputs: dict[str, Any], drift: list[dict[str, Any]]) -> Duel:
    """Return the part of a duel that the check uses."""
    duel_without_init = object.__new__(Duel)
    for name, value in (("task", task), ("inputs", inputs), ("drift", drift)):
        object.__setattr__(duel_without_init, name, value)
    return duel_without_init


def test_drift_is_measured_without_inputs_that_the_model_refuses(workspace: Workspace) -> None:
    """Drift is measured on the recorded inputs that a new model accepts; too many refused inputs hold it."""
    task = single_column_task(workspace, Number(bounds=(0, 10)))
    encoder = task.encoder()
    values = np.linspace(0, 10, 300)
    object.__setattr__(encoder, "fitted", {"x": task.columns["x"].fit(values)})
    spreads = reference(encoder, encoder.encode({"x": values}))
    comparison = compare_rows(task, encoder, spreads, [{"x": value} for value in [*values.tolist(), 11, 12.5, 13] * 2])
    assert (comparison.rows, comparison.refused, comparison.columns[0]["rows"]) == (606, 6, 600)
    assert comparison.first == "x: expected 0 to 10; received 11"
    inputs = {"rows": comparison.rows, "refused": comparison.refused, "first": comparison.first}
    assert Check().observe(duel(task, inputs, comparison.columns)).good
    outcome = Check().observe(duel(task, {**inputs, "refused": 60}, comparison.columns))
    assert not outcome.good
    assert outcome.text.startswith(
        "60 of 606 recorded inputs are refused by the model, such as x: expected 0 to 10; received 11"
    )
    all_refused = compare_rows(task, encoder, spreads, [{"x": 11}] * 300)
    assert (all_refused.columns, all_refused.refused) == ([], 300)
    assert "refuses all of 300 recorded instances" in all_refused.reason
    with pytest.raises(NotApplicableError, match="images are not recorded"):
        Check().observe(duel(task, {"why": "images are not recorded"}, []))
