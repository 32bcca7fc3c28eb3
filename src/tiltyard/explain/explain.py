"""The verb explain: what a trained model looks at, as a whole and for single rows; kept for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tiltyard import files, plugins
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TaskError
from tiltyard.explain.methods.base import Explained, Explanation, Row
from tiltyard.files import Json
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.preparation.sealed_test import read_test
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

Say = Callable[[str], None]

KERAS = "model.keras"
SHOWN = 3  # rows that are explained if none is named


@dataclass(frozen=True)
class Wish:
    """Which rows, by their numbers in the raw data, and which ways; empty for the usual ones."""

    rows: Sequence[int] = ()
    only: Sequence[str] = ()


def explain(workspace: Workspace, task: Task, wish: Wish | None = None, say: Say = lambda _: None) -> Json:
    """Look at the model in every way that fits it; write explain.json, and give it."""
    wish = wish or Wish()
    model = opened(workspace, task)
    ways, rows = _ways(wish.only), _rows(model, wish.rows)
    exhibits, left_out = [], {}
    for name, way in ways.items():
        if reason := _reason(way, model):
            left_out[name] = reason
            continue
        say(f"{task.name}: {way.title}")
        exhibits += [{"way": name, "row": row, **asdict(one)} for row, one in _seen(way, model, rows)]
    content = {
        "task": task.name,
        "version": version(workspace.out(task.name, "train")),
        "rows": [{"row": row.number, **_answered(model, row)} for row in rows],
        "exhibits": exhibits,
        "left_out": left_out,
    }
    with files.replacing_folder(workspace.out(task.name, "explain")) as folder:
        files.write_json(folder / "explain.json", content)
    return content


def opened(workspace: Workspace, task: Task) -> Explained:
    """Open what was trained last."""
    if not (workspace.out(task.name, "train") / "model.onnx").is_file():
        raise DataError(f"no model of {task.name} to explain", hint=f"train one: tiltyard run {task.name}")
    parts = TrainingRows.load(workspace.out(task.name, "prepare"))
    predictor = Predictor.load(workspace.out(task.name, "train"))
    return Explained(workspace, task, parts, predictor, read_test(workspace, task.name, task.columns))


def _ways(only: Sequence[str]) -> dict[str, Explanation]:
    """Return the ways that are asked for; those that take minutes only if they are."""
    known = plugins.names("explanations")
    if unknown := [name for name in only if name not in known]:
        raise TaskError(f"--only: expected one of {', '.join(known)}; received {unknown[0]}")
    made = {name: plugins.load("explanations", name)() for name in only or known}
    return {name: way for name, way in made.items() if only or not way.slow}


def _reason(way: Explanation, model: Explained) -> str:
    """Return why a way is left out; nothing if it is not."""
    place = model.workspace.out(model.task.name, "train") / KERAS
    return f"it looks into {KERAS}, which is not here" if way.inward and not place.is_file() else way.reason(model)


def _rows(model: Explained, wanted: Sequence[int]) -> list[Row]:
    """Find rows by number; if none is named, those that the model misses most."""
    numbers = model.test.number.tolist()
    if unknown := [number for number in wanted if number not in numbers]:
        some = ", ".join(map(str, numbers[:10]))
        raise DataError(
            f"--row: expected the number of a sealed row of {model.task.name}, such as {some}; received {unknown[0]}",
            hint=f"the largest errors are on its page: tiltyard report {model.task.name} --open",
        )
    places = [numbers.index(number) for number in wanted] if wanted else _worst(model)
    return [model.row(place) for place in places]


def _worst(model: Explained) -> list[int]:
    from tiltyard.evaluation.perturbation import missed

    if model.task.kind.targets == "text":
        return [0]
    outputs = model.predictor.condensed(model.test.rows, model.test.truth)
    order = np.argsort(-missed(model.test.truth, outputs, labels=bool(model.task.classes)), kind="stable")
    found: list[int] = order[:SHOWN].tolist()
    return found


def _answered(model: Explained, row: Row) -> Json:
    """Return what is true of a row, and what the model answers."""
    (answer,), (truth,) = model.predictor.respond(row.values), row.truth.tolist()
    if model.task.classes:
        return {"actual": model.task.classes[int(truth)], "answered": answer["label"]}
    return {"actual": truth, "answered": answer}


def _seen(way: Explanation, model: Explained, rows: list[Row]) -> Iterator[tuple[int | None, Any]]:
    for one in way.of_model(model):
        yield None, one
    for row in rows:
        for one in way.of_row(model, row):
            yield row.number, one
