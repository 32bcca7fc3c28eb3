"""Predictions for files of any size: rows are read, answered and written some at a time, in memory that stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files, progress, reading
from tiltyard.errors import DataError, RequestError
from tiltyard.form import parse
from tiltyard.predict import champion
from tiltyard.task import Task
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

ROWS = 8192  # at a time
Write = Callable[["pd.DataFrame"], None]


def predict_file(workspace: Workspace, task: Task, source: Path, target: Path) -> dict[str, Any]:
    """Put predictions beside the columns of a table, into a file that is whole or not there; say what was done."""
    if target.suffix not in WRITERS:
        expected = ", ".join(WRITERS)
        raise RequestError("wrong_type", f"--out: expected a file of {expected}; received {target.name}", "--out")
    if task.form not in ("table", "text"):
        raise RequestError("wrong_type", f"--out: expected rows that are instances; {task.name} is of {task.form}")
    served, done = champion(workspace, task), 0
    texts = [name for name, column in task.columns.items() if column.spelled]
    table = reading.surveyed(source, task.source.dialect, texts)
    reading.require(source, task.columns, table.layout.columns)
    with files.replacing(target) as path, WRITERS[target.suffix](path) as write, _told(source, table) as tell:
        for part in table.parts(rows=ROWS):
            rows = {name: parse(task, name, part[name]) for name in task.columns}
            write(_beside(part, served.predictor.respond(rows), source))
            done += len(part)
            tell(done)
        if not done:
            raise RequestError("no_instances", f"expected rows in {source}; received none", "--csv")
    return {"task": task.name, "version": served.version, "rows": done, "out": str(target)}


def _told(source: Path, table: reading.Surveyed) -> Any:
    return progress.watched(source.name, table.layout.rows, 0, "rows")


def _beside(part: pd.DataFrame, answers: list[Any], source: Path) -> pd.DataFrame:
    """Put answers beside their rows: a label with a probability for each class, or the answer itself."""
    found: dict[str, list[Any]] = {"prediction": answers}
    if isinstance(answers[0], dict):
        found = {"prediction": [answer["label"] for answer in answers]}
        for name in answers[0]["probabilities"]:
            found[f"probability_{name}"] = [answer["probabilities"][name] for answer in answers]
    if taken := found.keys() & set(part.columns):
        raise DataError(f"{source.name}: expected no column {min(taken)}, which predictions are called")
    return part.assign(**found)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened: list[pq.ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if not opened:  # what is missing in all of the first rows may be text in others
            kinds = [pa.string() if pa.types.is_null(kind) else kind for kind in table.schema.types]
            opened.append(pq.ParquetWriter(path, pa.schema([*zip(table.schema.names, kinds, strict=True)])))
        opened[0].write_table(table.cast(opened[0].schema))

    try:
        yield write
    finally:
        for writer in opened:
            writer.close()


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda frame: frame.to_csv(file, index=False, header=not file.tell())


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda frame: frame.to_json(file, orient="records", lines=True, date_format="iso")


WRITERS: dict[str, Callable[[Path], Any]] = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}
