"""The verb predict: ask a task's champion, without a server."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.errors import DataError, RegistryError, RequestError
from tiltyard.registry.registry import Registry
from tiltyard.serving import spreadsheet
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace


def predict(workspace: Workspace, task: Task, text: str) -> list[Any]:
    """Answer JSON: one instance, a list of instances, or a request as REST takes it."""
    try:
        content = msgspec.json.decode(text)
    except ValueError as error:
        raise RequestError("malformed_json", f"expected JSON: {error}", "--json") from None
    if isinstance(content, dict) and content.keys() == {"instances"}:
        content = content["instances"]
    try:
        return load_champion(workspace, task).predict(_as_list(task, content))
    except RequestError as error:
        raise _with_place(error, error.field) from None


def predict_csv(workspace: Workspace, task: Task, path: Path, rejected: Path | None = None) -> list[Any]:
    """Answer the rows of a CSV file; of a series, the step after its last row.

    A row that cannot be answered ends it; with a file for such, they go there with the reason, and are null here.
    """
    served, rows = load_champion(workspace, task), _read_instances(task, path)
    size, refused = task.serve.max_instances, list[tuple[int, str]]()
    if not rows:
        raise RequestError("no_instances", f"expected rows in {path}; received none", "--csv")
    answers: list[Any] = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        try:
            answers += _predict_part(served, part, start)
        except RequestError:
            if not rejected or task.form == "series":
                raise
            answers += _predict_each(served, part, start, refused)
    if rejected and refused:
        _write_rejected(rejected, refused, rows)
    return answers


def _predict_each(served: LoadedModel, rows: list[Any], start: int, refused: list[tuple[int, str]]) -> list[Any]:
    """Answer what can be answered; note the others, and put null in their place."""
    good: dict[int, Any] = {}
    for place, row in enumerate(rows):
        try:
            served.predictor.encoder.parse([row])
            good[place] = row
        except RequestError as error:
            field = error.field.partition(".")[2]
            refused.append((start + place, f"{field}: {error.message}" if field else error.message))
    answers = dict(zip(good, served.predict([*good.values()]), strict=True)) if good else {}
    return [answers.get(place) for place in range(len(rows))]


def _write_rejected(path: Path, refused: list[tuple[int, str]], rows: list[Any]) -> None:
    """Write refused rows, each with its number in the file, from 1, and why."""
    first = rows[0]
    names = list(first) if isinstance(first, dict) else ["text"]
    text = io.StringIO()
    cells = ([*row.values()] if isinstance(row, dict) else [row] for row in rows)
    why = dict(refused)
    table = ([place + 1, why[place], *row] for place, row in enumerate(cells) if place in why)
    spreadsheet.write_rows(text, [["rejected_row", "rejected_because", *names], *table])
    files.write_text(path, text.getvalue())


def load_champion(workspace: Workspace, task: Task) -> LoadedModel:
    """Load the champion of a task."""
    registry = Registry(workspace)
    found = registry.champion(task.name)
    if found is None:
        raise RegistryError(f"no champion yet of {task.name}", hint=f"make one: tiltyard run {task.name}")
    return LoadedModel.load(registry.package(task.name, found.version))


def _as_list(task: Task, content: object) -> object:
    """Put a single instance into a list: an object, a text, a list of numbers, or rows of pixels."""
    depth, inner = 0, content
    while isinstance(inner, list) and inner:
        depth, inner = depth + 1, inner[0]
    single = {"series": 1, "image": 2}.get(task.form)
    return [content] if isinstance(content, dict | str) or depth == single else content


def _predict_part(served: LoadedModel, rows: list[Any], start: int) -> list[Any]:
    """Answer some rows; a refusal counts rows from the first of the file."""
    try:
        return served.predict(rows)
    except RequestError as error:
        place, _, rest = error.field.removeprefix("instances[").partition("]")
        field = f"row {start + int(place) + 1}{rest}" if place.isdecimal() else error.field
        raise _with_place(error, field) from None


def _with_place(error: RequestError, field: str) -> RequestError:
    """Put the place into the sentence, which is all that a terminal shows."""
    return RequestError(error.code, f"{field}: {error.message}", field)


def _read_instances(task: Task, path: Path) -> list[Any]:
    """Read a table as `prepare` reads one; columns that are no features, such as the target, are left out."""
    if task.form == "image":
        raise RequestError("wrong_type", "expected a table or a series; images go by --json", "--csv")
    try:
        texts = [name for name, column in task.columns.items() if column.spelled]
        frame = table_reader.read(path, task.source.dialect, list(task.columns), texts).frame
    except (OSError, DataError) as error:
        text = str(error).removeprefix(f"{path.name}: ")
        raise RequestError("unreadable", f"cannot read {path}: {text}", "--csv") from None
    values = {name: column.read(frame[name].tolist()) for name, column in task.columns.items()}
    if task.form == "table":
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    ((name, column),) = task.columns.items()
    return [values[name][-getattr(column, "window", 0) :]] if task.form == "series" else values[name]
