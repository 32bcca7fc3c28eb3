"""Predictions for files of any size: rows are read, answered and written some at a time, in memory that stays flat."""

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
from tiltyard.preparation.modalities.base import parse
from tiltyard.serving import spreadsheet
from tiltyard.serving.predict import champion
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

ROWS = 8192  # at a time
ROW, REASON = "rejected_row", "rejected_because"  # columns of the second file: rows count from 1, without the header
Write = Callable[["pd.DataFrame"], None]


def predict_file(workspace: Workspace, task: Task, source: Path, target: Path) -> dict[str, Any]:
    """Put predictions beside the columns of a table, into a file that is whole or not there; say what was done.

    Rows that cannot be answered go into a second file beside it, with the reason.
    """
    if target.suffix not in WRITERS:
        expected = ", ".join(WRITERS)
        raise RequestError("wrong_type", f"--out: expected a file of {expected}; received {target.name}", "--out")
    if task.form not in ("table", "text"):
        raise RequestError("wrong_type", f"--out: expected rows that are instances; {task.name} is of {task.form}")
    served, done, refused = champion(workspace, task), 0, 0
    others = rejected(target)
    texts = [name for name, column in task.columns.items() if column.spelled]
    table = table_reader.open_table(source, task.source.dialect, texts)
    table_reader.require_columns(source, task.columns, table.layout.columns)
    with files.replacing(target) as path, WRITERS[target.suffix](path) as write, _told(source, table) as tell:
        with ExitStack() as stack:
            refuse: Write | None = None
            for part in table.parts(rows=ROWS):
                good, bad = sorted_out(task, part, source)
                if len(good):
                    rows = {name: parse(task, name, good[name]) for name in task.columns}
                    write(_beside(good, served.predictor.respond(rows), source))
                if len(bad):
                    refuse = refuse or stack.enter_context(WRITERS[target.suffix](_replacing(stack, others)))
                    refuse(bad)
                done, refused = done + len(good), refused + len(bad)
                tell(done + refused)
        _insist_on_answers(source, done, refused, others)
    if not refused:
        others.unlink(missing_ok=True)  # of an earlier call
    told = {"rejected": refused, "rejected_rows": str(others)} if refused else {}
    return {"task": task.name, "version": served.version, "rows": done, "out": str(target), **told}


def rejected(target: Path) -> Path:
    """Return where the rows go that cannot be answered."""
    return target.with_name(f"{target.stem}.rejected{target.suffix}")


def _replacing(stack: ExitStack, path: Path) -> Path:
    return stack.enter_context(files.replacing(path))


def _insist_on_answers(source: Path, done: int, refused: int, others: Path) -> None:
    if not done:
        text = f"none of {refused:,} can be answered: {others} says why" if refused else "received none"
        raise RequestError("no_instances", f"expected rows in {source}; {text}", "--csv")


def sorted_out(task: Task, part: pd.DataFrame, source: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that the model takes; and those that it refuses, with their number in the file and why."""
    if taken := {REASON, ROW} & set(part.columns):
        raise DataError(f"{source.name}: expected no column {min(taken)}, which refusals are called")
    reasons: dict[int, str] = {}
    for name, column in task.columns.items():
        try:
            column.parse_cells(part[name], name)
        except RequestError:
            for place, cell in enumerate(part[name].tolist()):
                if place not in reasons and (why := _refusal(column, cell)):
                    reasons[place] = f"{name}: {why}"
    bad = part.iloc[[*sorted(reasons)]].copy()
    good = part.drop(index=bad.index) if reasons else part
    bad[ROW], bad[REASON] = bad.index + 1, [reasons[place] for place in sorted(reasons)]
    return good, bad


def _refusal(column: Column, cell: object) -> str:
    try:
        column.parse(column.read([cell]), "")
    except RequestError as error:
        return error.message
    return ""


def _told(source: Path, table: table_reader.TableFile) -> Any:
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
        yield lambda frame: spreadsheet.write_frame(file, frame, header=not file.tell())


@contextmanager
def _jsonl(path: Path) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda frame: frame.to_json(file, orient="records", lines=True, date_format="iso")


WRITERS: dict[str, Callable[[Path], Any]] = {".csv": _csv, ".parquet": _parquet, ".jsonl": _jsonl}
