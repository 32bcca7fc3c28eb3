"""Batch prediction for files of any size: rows are read, predicted and written in parts, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files, progress
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.preparation.modalities.base import parse_column
from tiltyard.serving import spreadsheet
from tiltyard.serving.predict import load_champion
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_PART = 8192  # at a time
ROW_COLUMN, REASON_COLUMN = (
    "rejected_row",
    "rejected_because",
)  # columns of the second file: rows count from 1, without the header
Write = Callable[["pd.DataFrame"], None]


def predict_file(workspace: Workspace, task: Task, source: Path, target: Path) -> dict[str, Any]:
    """Write the columns of a table with its predictions to a file, atomically; return a summary.

    Invalid rows are written to a second file next to it, with the reason.
    """
    if target.suffix not in WRITERS:
        expected = ", ".join(WRITERS)
        raise RequestError("wrong_type", f"--out: expected a file of {expected}; received {target.name}", "--out")
    if task.modality not in ("table", "text"):
        raise RequestError(
            "wrong_type", f"--out: expected a task with tables or texts; {task.name} has {task.modality} data"
        )
    served, done, refused = load_champion(workspace, task), 0, 0
    rejects = rejected_path(target)
    texts = [name for name, column in task.columns.items() if column.parsed_as_text]
    table = table_reader.open_table(source, task.source.dialect, texts)
    table_reader.require_columns(source, task.columns, table.layout.columns)
    with files.atomic_file(target) as path, WRITERS[target.suffix](path) as write, _progress(source, table) as tell:
        with ExitStack() as stack:
            refuse: Write | None = None
            for part in table.parts(rows=ROWS_PER_PART):
                good, bad = separate_rows(task, part, source)
                if len(good):
                    rows = {name: parse_column(task, name, good[name]) for name in task.columns}
                    write(_add_predictions(good, served.predictor.respond(rows), source))
                if len(bad):
                    refuse = refuse or stack.enter_context(WRITERS[target.suffix](_replacing(stack, rejects)))
                    refuse(bad)
                done, refused = done + len(good), refused + len(bad)
                tell(done + refused)
        _require_predictions(source, done, refused, rejects)
    if not refused:
        rejects.unlink(missing_ok=True)  # left by an earlier call
    summary = {"rejected": refused, "rejected_rows": str(rejects)} if refused else {}
    return {"task": task.name, "version": served.version, "rows": done, "out": str(target), **summary}


def rejected_path(target: Path) -> Path:
    """Return the path of the file of rejected rows."""
    return target.with_name(f"{target.stem}.rejected{target.suffix}")


def _replacing(stack: ExitStack, path: Path) -> Path:
    return stack.enter_context(files.atomic_file(path))


def _require_predictions(source: Path, done: int, refused: int, rejects: Path) -> None:
    if not done:
        text = f"all {refused:,} were rejected: see {rejects}" if refused else "received none"
        raise RequestError("no_instances", f"expected rows in {source}; {text}", "--csv")


def separate_rows(task: Task, part: pd.DataFrame, source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the valid rows; and the invalid ones, with their number in the file and the reason."""
    if taken := {REASON_COLUMN, ROW_COLUMN} & set(part.columns):
        raise DataError(f"{source.name}: expected no column {min(taken)}, a name reserved for rejected rows")
    reasons: dict[int, str] = {}
    for name, column in task.columns.items():
        try:
            column.parse_cells(part[name], name)
        except RequestError:
            for place, cell in enumerate(part[name].tolist()):
                if place not in reasons and (why := _refusal_reason(column, cell)):
                    reasons[place] = f"{name}: {why}"
    bad = part.iloc[[*sorted(reasons)]].copy()
    good = part.drop(index=bad.index) if reasons else part
    bad[ROW_COLUMN], bad[REASON_COLUMN] = bad.index + 1, [reasons[place] for place in sorted(reasons)]
    return good, bad


def _refusal_reason(column: Column, cell: object) -> str:
    try:
        column.parse(column.read([cell]), "")
    except RequestError as error:
        return error.message
    return ""


def _progress(source: Path, table: table_reader.TableFile) -> Any:
    return progress.progress_bar(source.name, table.layout.rows, 0, "rows")


def _add_predictions(part: pd.DataFrame, predictions: list[Any], source: Path) -> pd.DataFrame:
    """Add predictions to their rows: a label with a probability for each class, or the prediction itself."""
    found: dict[str, list[Any]] = {"prediction": predictions}
    if isinstance(predictions[0], dict):
        found = {"prediction": [one["label"] for one in predictions]}
        for name in predictions[0]["probabilities"]:
            found[f"probability_{name}"] = [one["probabilities"][name] for one in predictions]
    if taken := found.keys() & set(part.columns):
        raise DataError(f"{source.name}: expected no column {min(taken)}, a name reserved for predictions")
    return part.assign(**found)


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    opened: list[pq.ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if not opened:  # a column with no values yet may have text in later rows
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
        yield lambda frame: spreadsheet.write_frame(file, frame, header=not file.tell())


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda frame: frame.to_json(file, orient="records", lines=True, date_format="iso")


WRITERS: dict[str, Callable[[Path], Any]] = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}
