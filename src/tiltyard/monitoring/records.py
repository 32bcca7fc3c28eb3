"""Traffic records: compacts append-only logs into Parquet files, and reads all records of a task.

A closed log is converted into a Parquet file of the same name and then removed. After a kill in between both exist; the
next call finds the Parquet file and only removes the log.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.modeling.problems.anomaly import LABELS
from tiltyard.modeling.problems.multilabel import label_cell
from tiltyard.serving.traffic import append_log
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

RECORD_KINDS = ("answers", "truths")
log = logging.getLogger(__name__)
Line = dict[str, Any]


@contextlib.contextmanager
def locked_folder(workspace: Workspace, task: Task) -> Iterator[Path]:
    """Lock the records of a task and return their folder; other processes wait."""
    folder = workspace.records / task.name
    with files.locked(folder / "lock"):
        yield folder


def compact(workspace: Workspace, task: Task) -> int:
    """Convert closed logs into Parquet; return their number."""
    import pyarrow.parquet as pq

    compacted = 0
    with locked_folder(workspace, task) as folder:
        for kind in RECORD_KINDS:
            files.remove_abandoned(folder / kind)
            for path, closed in append_log.list_files(folder / kind):
                if not closed:
                    continue
                if not (target := path.with_suffix(".parquet")).exists():
                    with files.atomic_file(target) as temporary:
                        pq.write_table(_table(task, kind, path), temporary)
                path.unlink()
                compacted += 1
    return compacted


def read(workspace: Workspace, task: Task, kind: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return all predictions or truths, from Parquet and from logs, oldest file first, with all or some columns."""
    import pyarrow as pa

    with locked_folder(workspace, task) as folder:
        names = None if columns is None else [*columns]
        tables = [_read(path, names) for path in sorted((folder / kind).glob("[!.]*.parquet"))]
        logs = [path for path, _ in append_log.list_files(folder / kind) if not path.with_suffix(".parquet").exists()]
        log_tables = [_table(task, kind, path) for path in (None, *logs)]
    tables += [table if names is None else table.select(names) for table in log_tables]
    return pa.concat_tables(tables, promote_options="default")


def _read(path: Path, names: list[str] | None) -> pa.Table:
    """Read the wanted columns that a file has; files of earlier releases may have fewer."""
    import pyarrow.parquet as pq

    existing = pq.read_schema(path).names
    return pq.read_table(path, columns=None if names is None else [name for name in names if name in existing])


def latest(workspace: Workspace, task: Task, limit: int, since: datetime | None = None) -> list[Any]:
    """Return the latest instances as clients sent them, or those since a time, reading no more files than needed."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    instances = list[Any]()
    with locked_folder(workspace, task) as folder:
        logs = [path for path, _ in append_log.list_files(folder / "answers")]
        stems = {path.with_suffix("") for path in (*logs, *(folder / "answers").glob("[!.]*.parquet"))}
        for path in sorted(stems, reverse=True):
            target = path.with_suffix(".parquet")
            table = pq.read_table(target) if target.exists() else _table(task, "answers", path.with_suffix(".jsonl"))
            if not task.columns.keys() <= {*table.column_names}:  # images, or columns of an earlier task file
                continue
            wanted = pc.field("record.arm") != "shadow"
            wanted = wanted if since is None else wanted & (pc.field("record.time") >= pc.scalar(since))
            instances = [*_to_instances(task, table.filter(wanted).select([*task.columns])), *instances]
            if len(instances) >= limit:
                break
    return instances[-limit:]


def instances_of(workspace: Workspace, task: Task, keys: pd.DataFrame) -> list[Any]:
    """Return the instances of recorded predictions with these keys, in their order."""
    table = read(workspace, task, "answers", [*task.columns, *(f"record.{name}" for name in keys)])
    owners = [owner or "" for owner in table.column("record.owner").to_pylist()]
    named = zip(table.column("record.id").to_pylist(), table.column("record.instance").to_pylist(), owners, strict=True)
    places = {key: place for place, key in enumerate(named)}
    return _to_instances(task, table.take([places[key] for key in keys.itertuples(index=False, name=None)]))


def _to_instances(task: Task, table: pa.Table) -> list[Any]:
    """Return recorded rows as instances; booleans and prompts are texts in Parquet."""
    values = {name: table.column(name).to_pylist() for name in task.columns}
    for name, column in task.columns.items():
        if column.type == "prose":
            values[name] = [_prompt(text) for text in values[name]]
        elif column.in_cells:
            values[name] = column.read(values[name])
    if single_column := _single_column(task):
        return [*values[single_column]]
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _prompt(text: str) -> Any:
    """Return a prompt, with its settings if it was recorded with some."""
    try:
        instance = json.loads(text) if text.startswith("{") else text
    except ValueError:
        return text
    return instance if "prompt" in instance else text


def _single_column(task: Task) -> str:
    """Return the name of the only column if instances are its bare values, or an empty text."""
    return next(iter(task.columns)) if task.modality != "table" and len(task.columns) == 1 else ""


def _table(task: Task, kind: str, path: Path | None) -> pa.Table:
    tables: dict[str, Callable[[Task, list[Line]], pa.Table]] = {"answers": _prediction_rows, "truths": _truths}
    return tables[kind](task, [] if path is None else _lines(path))


def _lines(path: Path) -> list[Line]:
    lines, invalid = [], 0
    for line in append_log.read_lines(path):
        try:
            lines.append(json.loads(line))
        except ValueError:
            invalid += 1
    if invalid:
        log.warning("%s: %s lines are not valid JSON and are skipped", path.name, invalid)
    return lines


def _prediction_rows(task: Task, lines: list[Line]) -> pa.Table:
    """Return a row for each instance: its features by name, and columns of the record prefixed by `record.`."""
    import pyarrow as pa

    rows = [(line, index) for line in lines for index in range(len(line["predictions"]))]
    answers = [line["predictions"][index] for line, index in rows]
    record_columns = {
        "record.id": pa.array([line["id"] for line, _ in rows], pa.string()),
        "record.instance": pa.array([index for _, index in rows], pa.int32()),
        "record.time": _times([line["time"] for line, _ in rows]),
        "record.version": pa.array([line["version"] for line, _ in rows], pa.string()),
        "record.arm": pa.array([line["arm"] for line, _ in rows], pa.string()),
        "record.ms": pa.array([line["ms"] for line, _ in rows], pa.float64()),
        "record.owner": pa.array([line.get("owner", "") for line, _ in rows], pa.string()),
        "record.prediction": _predictions(task, answers),
        "record.answer": pa.array([json.dumps(answer) for answer in answers], pa.string()),
    }
    return pa.table({**_features(task, rows), **record_columns})


def _truths(_: Task, lines: list[Line]) -> pa.Table:
    import pyarrow as pa

    rows = [(line, truth) for line in lines for truth in line["truths"]]
    return pa.table(
        {
            "record.id": pa.array([truth["id"] for _, truth in rows], pa.string()),
            "record.instance": pa.array([truth["instance"] for _, truth in rows], pa.int32()),
            "record.owner": pa.array([truth.get("owner", "") for _, truth in rows], pa.string()),
            "record.received": _times([line["time"] for line, _ in rows]),
            "record.truth": pa.array([json.dumps(truth["truth"]) for _, truth in rows], pa.string()),
        }
    )


def _times(seconds: list[float]) -> pa.Array:
    import pyarrow as pa

    return pa.array([round(1e6 * second) for second in seconds], pa.int64()).cast(pa.timestamp("us", "UTC"))


def _predictions(task: Task, answers: list[Any]) -> pa.Array:
    """Return the label, labels or number of each prediction; `record.answer` has the whole prediction."""
    import pyarrow as pa

    if task.problem_type.targets == "number":
        return pa.array([answer if isinstance(answer, int | float) else None for answer in answers], pa.float64())
    if task.problem_type.clusters:
        return pa.array([str(answer["cluster"]) for answer in answers], pa.string())
    if task.problem_type.targets == "row":
        return pa.array([answer["error"] for answer in answers], pa.float64())
    if task.problem == "captioning" or task.problem_type.targets in ("objects", "mask"):
        return pa.array([*map(_of_picture, answers)], pa.string())
    if task.problem == "anomaly":
        return pa.array([LABELS[answer["anomaly"]] for answer in answers], pa.string())
    separator = task.target.separator
    return pa.array(
        [label_cell(answer, separator) if isinstance(answer, dict) else str(answer) for answer in answers], pa.string()
    )


def _of_picture(answer: Any) -> str:
    """Return the caption of a picture, the labels of its objects, or the label of most of its pixels."""
    if "objects" in answer:
        return ", ".join(one["label"] for one in answer["objects"])
    return str(answer["caption"] if "caption" in answer else max(answer["shares"], key=answer["shares"].__getitem__))


def _features(task: Task, rows: list[tuple[Line, int]]) -> dict[str, pa.Array]:
    """Return features by name, as `tiltyard check --against` reads them; empty for images, which are not recorded."""
    single_column = _single_column(task)
    if any(column.type == "image" for column in task.columns.values()):
        return {}
    values = [line["instances"][index] for line, index in rows]
    objects = [{single_column: value} if single_column else value for value in values]
    return {name: _cells(task, name, [instance.get(name) for instance in objects]) for name in task.columns}


def _cells(task: Task, name: str, values: list[Any]) -> pa.Array:
    """Return an array of one type, since a category may be sent as text or as an integer."""
    import pyarrow as pa

    kind = task.columns[name].json_schema().get("type", "string")
    kind = next(item for item in kind if item != "null") if isinstance(kind, list) else kind
    if kind == "number":
        return pa.array(values, pa.float64())
    if kind == "boolean":
        return pa.array([None if value is None else bool(value) for value in values], pa.bool_())
    if kind == "array":
        return pa.array(values, pa.list_(pa.float64()))
    texts = [json.dumps(value) if isinstance(value, dict) else value for value in values]
    return pa.array([None if value is None else str(value) for value in texts], pa.string())
