"""Batch prediction for files of any size: rows are read, predicted and written in parts, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.data.joins.joined_table import JoinedFiles, counted, open_rows
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.problems import multilabel
from tiltyard.preparation.modalities.base import parse_column
from tiltyard.runtime import progress
from tiltyard.serving import spreadsheet
from tiltyard.serving.predict import load_champion
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

ROWS_PER_PART = 8192  # rows read and predicted at once
# Columns of the file of rejected rows. Rows are numbered from 1, without the header.
ROW_COLUMN, REASON_COLUMN = "rejected_row", "rejected_because"
Write = Callable[["pd.DataFrame"], None]


def predict_file(workspace: Workspace, task: Task, source: Path, target: Path) -> dict[str, Any]:
    """Write the columns of a table with its predictions to a file, atomically; return a summary.

    Invalid rows are written to a second file next to it, with the reason.
    """
    if target.suffix not in WRITERS:
        expected = ", ".join(WRITERS)
        raise RequestError("wrong_type", f"--out: expected a file of {expected}; received {target.name}", "--out")
    if not (task.is_tabular or task.modality == "text"):
        raise RequestError(
            "wrong_type", f"--out: expected a task with tables or texts; {task.name} has {task.modality} data"
        )
    model, predicted, rejected = load_champion(workspace, task), 0, 0
    rejected_file = rejected_path(target)
    text_columns = [name for name, column in task.columns.items() if column.parsed_as_text]
    joins = JoinedFiles(task.joins, workspace.raw(task.name))
    table = open_rows(source, task.source.dialect, joins, task.columns, text_columns)
    table_reader.require_columns(source, task.columns, table.layout.columns)
    with (
        files.atomic_file(target) as path,
        WRITERS[target.suffix](path) as write_predictions,
        _progress(source, table) as report_progress,
    ):
        with ExitStack() as stack:
            write_rejected: Write | None = None
            for part in table.parts(rows=ROWS_PER_PART):
                valid, invalid = separate_rows(task, part, source)
                if len(valid):
                    rows = {name: parse_column(task, name, valid[name]) for name in task.columns}
                    predictions = model.predictor.respond(rows)
                    write_predictions(
                        _add_predictions(
                            valid, predictions, source, task.target.separator, [*(task.target.columns or ())]
                        )
                    )
                if len(invalid):
                    write_rejected = write_rejected or stack.enter_context(
                        WRITERS[target.suffix](_replacing(stack, rejected_file))
                    )
                    write_rejected(invalid)
                predicted, rejected = predicted + len(valid), rejected + len(invalid)
                report_progress(predicted + rejected)
        _require_predictions(source, predicted, rejected, rejected_file)
    if not rejected:
        rejected_file.unlink(missing_ok=True)  # left by an earlier call
    summary: dict[str, Any] = {"joined": notes} if (notes := _join_notes(table)) else {}
    summary |= {"rejected": rejected, "rejected_rows": str(rejected_file)} if rejected else {}
    return {"task": task.name, "version": model.version, "rows": predicted, "out": str(target), **summary}


def _join_notes(table: table_reader.TableFile) -> list[str]:
    """Return for each table that was joined to the file how many rows have a match."""
    return [f"{found.name}: {found.matched:,} of {found.rows:,} rows have a match" for found in counted(table)]


def rejected_path(target: Path) -> Path:
    """Return the path of the file of rejected rows."""
    return target.with_name(f"{target.stem}.rejected{target.suffix}")


def _replacing(stack: ExitStack, path: Path) -> Path:
    return stack.enter_context(files.atomic_file(path))


def _require_predictions(source: Path, predicted: int, rejected: int, rejected_file: Path) -> None:
    if not predicted:
        text = f"all {rejected:,} were rejected: see {rejected_file}" if rejected else "received none"
        raise RequestError("no_instances", f"expected rows in {source}; {text}", "--csv")


def separate_rows(task: Task, part: pd.DataFrame, source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the valid rows; and the invalid ones, with their number in the file and the reason."""
    if reserved := {REASON_COLUMN, ROW_COLUMN} & set(part.columns):
        raise DataError(f"{source.name}: expected no column {min(reserved)}, a name reserved for rejected rows")
    reasons: dict[int, str] = {}
    for name, column in task.columns.items():
        try:
            column.parse_cells(part[name], name)
        except RequestError:
            for index, cell in enumerate(part[name].tolist()):
                if index not in reasons and (reason := _rejection_reason(column, cell)):
                    reasons[index] = f"{name}: {reason}"
    invalid = part.iloc[[*sorted(reasons)]].copy()
    valid = part.drop(index=invalid.index) if reasons else part
    invalid[ROW_COLUMN], invalid[REASON_COLUMN] = invalid.index + 1, [reasons[index] for index in sorted(reasons)]
    return valid, invalid


def _rejection_reason(column: Column, cell: object) -> str:
    try:
        column.parse(column.read([cell]), "")
    except RequestError as error:
        return error.message
    return ""


def _progress(source: Path, table: table_reader.TableFile) -> Any:
    return progress.progress_bar(source.name, table.layout.rows, 0, "rows")


def _add_predictions(
    part: pd.DataFrame, predictions: list[Any], source: Path, separator: str | None = None, numbers: Sequence[str] = ()
) -> pd.DataFrame:
    """Add predictions to their rows: the prediction itself; or labels as in the data, and all probabilities.

    Several `numbers` have a column each.
    """
    columns: dict[str, list[Any]] = {"prediction": predictions}
    if numbers:
        columns = {f"prediction_{name}": [each[name] for each in predictions] for name in numbers}
    elif isinstance(predictions[0], dict) and "memberships" in predictions[0]:
        columns = _cluster_columns(predictions)
    elif isinstance(predictions[0], dict) and "reconstruction" in predictions[0]:
        columns = _reconstructed_columns(predictions)
    elif isinstance(predictions[0], dict) and "anomaly" in predictions[0]:
        columns = {name: [prediction[name] for prediction in predictions] for name in ("score", "anomaly")}
        for name in predictions[0]["errors"]:
            columns[f"error_{name}"] = [prediction["errors"][name] for prediction in predictions]
    elif isinstance(predictions[0], dict):
        columns = {"prediction": [multilabel.label_cell(prediction, separator) for prediction in predictions]}
        for name in predictions[0]["probabilities"]:
            columns[f"probability_{name}"] = [prediction["probabilities"][name] for prediction in predictions]
    if reserved := columns.keys() & set(part.columns):
        raise DataError(f"{source.name}: expected no column {min(reserved)}, a name reserved for predictions")
    return part.assign(**columns)


def _reconstructed_columns(predictions: list[Any]) -> dict[str, list[Any]]:
    """Return the error, the numbers of the code, and each reconstructed column."""
    columns = {"error": [prediction["error"] for prediction in predictions]}
    for place in range(len(predictions[0]["code"])):
        columns[f"code_{place + 1}"] = [prediction["code"][place] for prediction in predictions]
    for name in predictions[0]["reconstruction"]:
        columns[f"reconstruction_{name}"] = [prediction["reconstruction"][name] for prediction in predictions]
    return columns


def _cluster_columns(predictions: list[Any]) -> dict[str, list[Any]]:
    """Return the cluster, the distance from its mean row, and the membership in each cluster."""
    columns = {name: [prediction[name] for prediction in predictions] for name in ("cluster", "distance")}
    for place in range(len(predictions[0]["memberships"])):
        columns[f"membership_{place}"] = [prediction["memberships"][place] for prediction in predictions]
    return columns


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writers: list[pq.ParquetWriter] = []

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if not writers:  # a column with no values yet may have text in later rows
            arrow_types = [
                pa.string() if pa.types.is_null(arrow_type) else arrow_type for arrow_type in table.schema.types
            ]
            writers.append(pq.ParquetWriter(path, pa.schema([*zip(table.schema.names, arrow_types, strict=True)])))
        writers[0].write_table(table.cast(writers[0].schema))

    try:
        yield write
    finally:
        for writer in writers:
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
