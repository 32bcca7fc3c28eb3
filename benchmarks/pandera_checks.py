"""Run the same checks with pandera: on a table that it reads as a whole, or on rows in memory."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pandera
import pandera.pandas as pa
from pandera import Check

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.expectation import Expectation
from tiltyard.preparation.modalities.base import RawTable
from tiltyard.validation.suite import evaluate, gx_context, implied_expectations, resolve, validate_frame
from tiltyard.workspace import Workspace

TEXTS = ("country", "plan", "device", "city", "code", "born", "joined", "seen", "active", "mobile", "left")


def main(root: str, mode: str) -> None:
    """Run one of the two modes; print the result as JSON."""
    workspace = Workspace(Path(root))
    task = loader.load(workspace, "wide")
    print(json.dumps((_read_and_validate if mode == "whole" else _time_checks)(task, workspace.raw("wide"))))


def _read_and_validate(task: Task, folder: Path) -> dict[str, Any]:
    """Read and validate a table as a script would."""
    modality = plugins.load("modalities", task.modality)()
    frame = _read(modality.raw_file(folder))
    schema([*implied_expectations(task, drops_rows=modality.drops_rows), *task.expect]).validate(frame, lazy=True)
    return {"version": pandera.__version__}


def _time_checks(task: Task, folder: Path) -> dict[str, Any]:
    """Time only the checks, on rows in memory: pandera's, ours, and Great Expectations' own."""
    modality = plugins.load("modalities", task.modality)()
    expected = [*implied_expectations(task, drops_rows=modality.drops_rows), *task.expect]
    raw_table = modality.raw_table(task, folder)
    parts = list(raw_table.chunks(raw_table.columns))
    frame = pd.concat(parts)
    table_in_memory = RawTable(raw_table.columns, [], lambda names: (part[[*names]] for part in parts))
    gx = gx_context()
    suite = [resolve(str(index), one, raw_table.columns) for index, one in enumerate(expected)]
    pandera_schema = schema(expected)
    times = 3 if len(frame) <= 1_000_000 else 1
    return {
        "pandera": _seconds(times, lambda: pandera_schema.validate(frame, lazy=True)),
        "tiltyard": _seconds(times, lambda: evaluate(gx, "wide", suite, table_in_memory)),
        "stock": _seconds(1, lambda: validate_frame(gx, "wide", [one.gx_expectation for one in suite], frame)),
    }


def _seconds(times: int, function: Callable[[], Any]) -> float:
    """Return the median of processor times."""
    durations = []
    for _ in range(times):
        start = time.process_time()
        function()
        durations.append(time.process_time() - start)
    return round(statistics.median(durations), 2)


def _read(path: Path) -> pd.DataFrame:
    """Read with the fastest reader of pandas, with booleans as in validation."""
    types = dict.fromkeys(TEXTS, "str")
    frame = pd.read_csv(path, engine="pyarrow", dtype=types) if path.suffix == ".csv" else pd.read_parquet(path)
    frame = frame.astype(types)
    for name, labels in (("active", ("yes", "no")), ("mobile", ("Y", "N"))):
        frame[name] = frame[name].map(dict(zip(labels, (True, False), strict=True)))
    frame["member"] = frame["member"].replace({"true": True, "false": False})
    return frame


def schema(expectations: list[Expectation]) -> pa.DataFrameSchema:
    """Return the expectations as a pandera schema."""
    columns: dict[str, list[Any]] = {}
    whole, required = [], set()
    for expectation in expectations:
        arguments = expectation.arguments
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if expectation.expectation == "expect_table_row_count_to_be_between":
            whole.append(Check(lambda frame, low=low, high=high: low <= len(frame) <= high))
            continue
        checks = columns.setdefault(arguments["column"], [])
        match expectation.expectation:
            case "expect_column_values_to_not_be_null":
                required.add(arguments["column"])
            case "expect_column_values_to_be_between":
                checks.append(Check.in_range(low, high))
            case "expect_column_values_to_be_in_set":
                checks.append(Check.isin(arguments["value_set"]))
            case "expect_column_values_to_match_regex":
                checks.append(Check.str_matches(arguments["regex"]))
            case "expect_column_mean_to_be_between":
                checks.append(Check(lambda column, low=low, high=high: low <= column.mean() <= high))
    pandera_columns = {name: pa.Column(None, checks, nullable=name not in required) for name, checks in columns.items()}
    return pa.DataFrameSchema(pandera_columns, checks=whole)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
