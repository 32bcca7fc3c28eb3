"""The verb evaluate: measure the exported model on the sealed test rows, beside an honest baseline."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.evaluation.slices import parts
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.inference.predictor import BATCH, Predictor, version
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.base import TRUTH
from tiltyard.preparation.array_file import Features, open_part
from tiltyard.preparation.sealed_test import TestPart, read_test
from tiltyard.workspace import Workspace


def evaluate(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Write report.json, predictions and plots; give the report."""
    predictor = Predictor.load(workspace.out(task.name, "train"))
    test = read_test(workspace, task)
    predictions = predict(workspace, task, predictor, test)
    training = files.read_json(workspace.out(task.name, "train") / "training.json")
    content = _report(workspace, task, predictor, predictions, test.rows)
    with files.replacing_folder(workspace.out(task.name, "evaluate")) as folder:
        files.write_json(folder / "report.json", content)
        predictions.save(folder / "predictions.npz")
        _write_plots(folder / "plots", task, predictions, training["history"])
    return content


def predict(workspace: Workspace, task: Task, predictor: Predictor, test: TestPart) -> Predictions:
    """Run a model on the sealed test rows, and the baseline beside it."""
    outputs = predictor.condensed(test.rows, test.truth)
    _, known = open_part(workspace.out(task.name, "prepare") / "train.npz")
    baseline = task.kind.baseline(known, past(task, test), task.gate.metric)
    return Predictions(test.truth, outputs, baseline, test.number, task.classes, task.target.told)


def past(task: Task, test: TestPart) -> Rows:
    """Return what a baseline may look at: of series, the naive forecast; of what is guessed step by step, all of it."""
    name, column = task.target.column, task.columns.get(task.target.column)
    if isinstance(column, Series) and task.problem == "forecasting":
        return {name: column.naive(test.rows[name], task.target.horizon)}
    return {**test.rows, TRUTH: test.truth} if task.kind.targets == "text" else test.rows


def _report(
    workspace: Workspace, task: Task, predictor: Predictor, predictions: Predictions, test: Rows
) -> dict[str, Any]:
    """Measure; the same model and rows give the same report, so it holds no time of day and no duration."""
    facts = files.read_json(workspace.out(task.name, "prepare") / "split.json")
    context, truth, outputs = facts["context"], predictions.truth, predictions.outputs
    features, known = open_part(workspace.out(task.name, "prepare") / "train.npz")
    bootstrap = Bootstrap(len(truth), task.split.seed, task.gate.confidence)
    intervals = bootstrap.intervals(lambda places: task.kind.scores(truth[places], outputs[places], context))
    return {
        "task": task.name,
        "version": version(workspace.out(task.name, "train")),
        "problem": task.problem,
        "data": facts["data"],
        "test": facts["test"],
        "rows": facts["rows"],
        "notes": facts["notes"],
        "metric": task.gate.metric,
        "metrics": task.kind.scores(truth, outputs, context),
        "intervals": {name: list(interval) for name, interval in intervals.items()},
        "baseline": task.kind.scores(truth, predictions.baseline, context),
        "train": task.kind.scores(known, predictor.condense(known, _in_batches(features)), context),
        "slices": _slices(task, truth, outputs, test, context),
        **task.kind.details(predictions),
    }


def _slices(task: Task, truth: Array, outputs: Array, test: Rows, context: Context) -> list[dict[str, Any]]:
    """Return the gate's metric on each part of the rows that the task names."""
    return [
        {"slice": name, "rows": len(places), "value": task.metric.score(truth[places], outputs[places], context)}
        for name, places in parts(task.gate.slices, task.columns, test)
    ]


def _in_batches(features: Features) -> Iterator[Array]:
    for start in range(0, len(features), BATCH):
        yield features[start : start + BATCH]


def _write_plots(folder: Path, task: Task, predictions: Predictions, history: dict[str, list[float]]) -> None:
    """Write what `dvc plots show` draws."""
    folder.mkdir()
    epochs = list(range(1, len(history.get("loss", ())) + 1))
    learning: dict[str, list[Any]] = {"epoch": epochs, **history}
    for name, columns in {**task.kind.plots(predictions), "learning": learning}.items():
        _write_csv(folder / f"{name}.csv", columns)


def _write_csv(path: Path, columns: Mapping[str, list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
