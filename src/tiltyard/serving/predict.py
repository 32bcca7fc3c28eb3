"""The command predict: predictions of a task's champion for JSON or a CSV file, without a server."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data.joins.joined_table import JoinedFiles, open_rows
from tiltyard.errors import DataError, RegistryError, RequestError
from tiltyard.registry.registry import Registry
from tiltyard.serving import spreadsheet
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace


def predict(workspace: Workspace, task: Task, text: str) -> list[Any]:
    """Return predictions for JSON: an instance, a list of instances, or a body of the REST service."""
    try:
        content = msgspec.json.decode(text)
    except ValueError as error:
        raise RequestError("malformed_json", f"expected JSON: {error}", "--json") from None
    if isinstance(content, dict) and content.keys() == {"instances"}:
        content = content["instances"]
    try:
        return load_champion(workspace, task).predict(_as_list(task, content))
    except RequestError as error:
        raise _with_field(error, error.field) from None


def predict_csv(workspace: Workspace, task: Task, path: Path, rejected: Path | None = None) -> list[Any]:
    """Return predictions for the rows of a CSV file; for a series, for the steps after its last row.

    Raise RequestError for an invalid row; with `rejected`, write invalid rows and reasons to that file and return None.
    """
    model, rows = load_champion(workspace, task), _read_instances(workspace, task, path)
    size, rejections = task.serve.max_instances, list[tuple[int, str]]()
    if not rows:
        raise RequestError("no_instances", f"expected rows in {path}; received none", "--csv")
    predictions: list[Any] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        try:
            predictions += _predict_part(model, part, start)
        except RequestError:
            if not rejected or task.modality == "series":
                raise
            predictions += _predict_each(model, part, start, rejections)
    if rejected and rejections:
        _write_rejected(rejected, rejections, rows)
    return predictions


def _predict_each(model: LoadedModel, rows: list[Any], start: int, rejections: list[tuple[int, str]]) -> list[Any]:
    """Predict valid rows one by one; add the others to `rejections` and return None in their place."""
    valid: dict[int, Any] = {}
    for index, row in enumerate(rows):
        try:
            model.predictor.encoder.parse([row])
            valid[index] = row
        except RequestError as error:
            field = error.field.partition(".")[2]
            rejections.append((start + index, f"{field}: {error.message}" if field else error.message))
    predictions = dict(zip(valid, model.predict([*valid.values()]), strict=True)) if valid else {}
    return [predictions.get(index) for index in range(len(rows))]


def _write_rejected(path: Path, rejections: list[tuple[int, str]], rows: list[Any]) -> None:
    """Write rejected rows, each with its number in the file, from 1, and the reason."""
    first_row = rows[0]
    names = list(first_row) if isinstance(first_row, dict) else ["text"]
    buffer = io.StringIO()
    cells = ([*row.values()] if isinstance(row, dict) else [row] for row in rows)
    reasons = dict(rejections)
    table = ([index + 1, reasons[index], *row] for index, row in enumerate(cells) if index in reasons)
    spreadsheet.write_rows(buffer, [["rejected_row", "rejected_because", *names], *table])
    files.write_text(path, buffer.getvalue())


def load_champion(workspace: Workspace, task: Task) -> LoadedModel:
    """Load the champion of a task."""
    registry = Registry(workspace)
    champion = registry.champion(task.name)
    if champion is None:
        raise RegistryError(f"no champion yet of {task.name}", hint=f"make one: tiltyard run {task.name}")
    return LoadedModel.load(registry.package(task.name, champion.version))


def _as_list(task: Task, content: object) -> object:
    """Return a list of instances; a single one (object, text, list of numbers, rows of pixels) is wrapped."""
    depth, nested = 0, content
    while isinstance(nested, list) and nested:
        depth, nested = depth + 1, nested[0]
    instance_depth = {"series": 1, "image": 2}.get(task.modality)
    return [content] if isinstance(content, dict | str) or depth == instance_depth else content


def _predict_part(model: LoadedModel, rows: list[Any], start: int) -> list[Any]:
    """Predict some rows; an error names the row by its number in the file."""
    try:
        return model.predict(rows)
    except RequestError as error:
        index, _, suffix = error.field.removeprefix("instances[").partition("]")
        field = f"row {start + int(index) + 1}{suffix}" if index.isdecimal() else error.field
        raise _with_field(error, field) from None


def _with_field(error: RequestError, field: str) -> RequestError:
    """Return the error with its field in the message, since the command line prints the message only."""
    return RequestError(error.code, f"{field}: {error.message}", field)


def _read_instances(workspace: Workspace, task: Task, path: Path) -> list[Any]:
    """Read the instances of a CSV file by the rules of `prepare`; ignore other columns, such as the target."""
    if task.modality == "image":
        raise RequestError("wrong_type", "expected a table or a series; images alone go by --json", "--csv")
    try:
        text_columns = [name for name, column in task.columns.items() if column.parsed_as_text]
        joins = JoinedFiles(task.joins, workspace.raw(task.name))
        table = open_rows(path, task.source.dialect, joins, task.columns, text_columns)
        frame = table.to_frame(task.columns)
    except (OSError, DataError) as error:
        text = str(error).removeprefix(f"{path.name}: ")
        unreadable = RequestError("unreadable", f"cannot read {path}: {text}", "--csv")
        unreadable.hint = error.hint if isinstance(error, DataError) else ""
        raise unreadable from None
    values = {name: column.read(frame[name].tolist()) for name, column in task.columns.items()}
    if task.is_tabular:
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    ((name, column),) = task.columns.items()
    return [values[name][-getattr(column, "window", 0) :]] if task.modality == "series" else values[name]
