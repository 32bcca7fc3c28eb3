"""The command evaluate: measure the model and a baseline on the sealed test rows, and the folds on held-out rows."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.evaluation import (
    anomaly,
    captioning,
    clustering,
    pictures,
    recommendation,
    reconstruction,
    sample_facts,
    sampling,
)
from tiltyard.evaluation.rollout import evaluate_rollout
from tiltyard.evaluation.slices import parts
from tiltyard.evaluation.walk_forward import walk_forward
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.evaluators.base import TRUTH, Evaluator
from tiltyard.modeling.evaluators.forecasting import training_context
from tiltyard.modeling.inference import held_out
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.modeling.metrics.dependence import Dependence
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.preparation.array_file import Features, open_part
from tiltyard.preparation.sealed_test import TestRows, read_test
from tiltyard.runtime import threads
from tiltyard.training import backend
from tiltyard.workspace import Workspace

Further = tuple[dict[str, Any], dict[str, dict[str, list[Any]]]]  # what the report says, and columns of CSV files


def evaluate(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Write report.json, predictions and plots; return the report."""
    if task.evaluate.walk_forward and backend.is_other_loaded(task):
        return backend.evaluate_apart(workspace, task)
    train = workspace.out(task.name, "train")
    predictor, test = Predictor.load(train), read_test(workspace, task.name, task.columns)
    features, train_truth = open_part(workspace.out(task.name, "prepare") / "train.npz")
    samples = None
    if task.problem_type.generates:
        samples = sampling.Samples.of(task, predictor.encoder, (features, train_truth), train)
    predictions = predict(task, predictor, test, (features, train_truth), samples)
    pictures, facts = None, dict[str, Any]()
    if samples:
        train_sample = samples.train_sample(predictor, len(test.truth))
        facts, pictures = sample_facts.examine(samples, predictor, test)
    else:
        train_outputs = predictor.condense(train_truth, features)
        train_sample = train_truth, recommendation.ranked_features(predictor, features, train_truth, train_outputs)
    if task.problem == "anomaly":
        train_sample = anomaly.with_anomalies(*train_sample, (test.truth, predictions.outputs))
    folds = fold_scores(train / "folds.npz", task.evaluator)
    context = training_context(task.evaluator, workspace.out(task.name, "prepare"), train_truth)
    training = files.read_json(train / "training.json")
    further = {} if "variant" in training else _further(workspace, task, (predictor, test, predictions), context)
    with files.atomic_folder(workspace.out(task.name, "evaluate")) as folder, ThreadPoolExecutor(1) as background:
        pending = background.submit(predictions.save, folder / "predictions.npz")  # compression takes long
        report = {
            "task": task.name,
            "version": version(train),
            **files.read_json(workspace.out(task.name, "prepare") / "split.json"),
            **_measure(task, predictions, test, train_sample, context),
            **reconstruction.denoising(task, predictor, test),
            **captioning.further(task, predictor.encoder, (features, train_truth), test, predictions),
            **recommendation.facts(task, predictor, (features, train_truth), test),
            **clustering.facts(task, predictor, test, predictions),
            **_detectors(workspace, task, (predictor, test), context),
            **facts,
            **({"folds": folds} if folds else {}),
            **{name: facts for name, (facts, _) in further.items()},
        }
        files.write_json(folder / "report.json", report)
        if pictures:
            pictures.save(folder / sample_facts.PICTURES_FILE)
        plots = {name: columns for _, more in further.values() for name, columns in more.items()}
        write_plots(folder / "plots", {**task.evaluator.plots(predictions), **plots}, training["history"])
        pending.result()
    return report


def _further(
    workspace: Workspace, task: Task, evaluated: tuple[Predictor, TestRows, Predictions], context: Context
) -> dict[str, Further]:
    """Return the further evaluations of a forecast that the task asks for."""
    (predictor, test, predictions), further = evaluated, {}
    if task.evaluate.walk_forward:
        further["walk_forward"] = walk_forward(workspace, task, test, predictions, context)
    if task.evaluate.rollout:
        further["rollout"] = evaluate_rollout(task, predictor, test)
    return further


def _detectors(
    workspace: Workspace, task: Task, evaluated: tuple[Predictor, TestRows], context: Context
) -> dict[str, Any]:
    """Return the metrics of outlier detectors, for a task that finds anomalies."""
    if task.problem != "anomaly":
        return {}
    (predictor, test), prepared = evaluated, workspace.out(task.name, "prepare")
    train, later = (open_part(prepared / f"{name}.npz")[0] for name in ("train", "validation"))
    return {"detectors": anomaly.Compared(task, predictor.encoder, train, later, test, context).measured()}


def predict(
    task: Task,
    predictor: Predictor,
    test: TestRows,
    train: tuple[Features, Array],
    samples: sampling.Samples | None = None,
) -> Predictions:
    """Predict the sealed test rows with the model and the baseline, which is fitted to the training rows."""
    threshold = predictor.encoder.problem.threshold
    if samples:
        encoded = predictor.encoder.encode(test.rows)
        outputs = samples.outputs(predictor, encoded, test.truth)
        baseline = samples.baseline(encoded, test.truth)
    else:
        outputs = predictor.condensed(test.rows, test.truth)
        outputs = recommendation.ranked(predictor, test.rows, test.truth, outputs)
        baseline = _baseline(task, predictor, test, train)
    return Predictions(test.truth, outputs, baseline, test.number, task.labels, task.target.display_name, threshold)


def _baseline(task: Task, predictor: Predictor, test: TestRows, train: tuple[Features, Array]) -> Array:
    """Return the outputs of the baseline."""
    if task.problem_type.clusters:
        return clustering.baseline(task, predictor.encoder, train, test)
    if task.problem == "anomaly":
        return anomaly.baseline(task, predictor.encoder, train[0], test.rows)
    if task.problem_type.reconstructs:
        return reconstruction.baseline(task, predictor.encoder, train, test)
    if task.problem_type.targets == "mask":
        return pictures.segmentation_baseline(task, predictor.encoder, test, train)
    if task.problem_type.recommends:
        return recommendation.baseline(task, predictor, train, test)
    problem, rows = predictor.encoder.problem, past(task, test)
    if task.problem_type.targets == "text":
        rows = {**rows, TRUTH: problem.baseline_truth(predictor.encoder, rows[TRUTH])}
    known = problem.baseline_truth(predictor.encoder, train[1])
    return task.evaluator.baseline(known, rows, task.gate.metric)


def past(task: Task, test: TestRows) -> Rows:
    """Return the input of the baseline: the naive forecast of a series, also the truth of a text, else the rows."""
    name, column = task.target.column, task.columns.get(task.target.column)
    if isinstance(column, Series) and task.problem == "forecasting":
        return {name: column.naive(test.rows[name], task.target.horizon)}
    return {**test.rows, TRUTH: test.truth} if task.problem_type.targets in ("text", "objects") else test.rows


def _measure(
    task: Task, predictions: Predictions, test: TestRows, train_sample: tuple[Array, Array], context: Context
) -> dict[str, Any]:
    """Return the metrics; without timestamps or durations, so that the same model and rows give the same report.

    `train_sample` has the truth of the training rows and the outputs for them.
    """
    evaluator, truth, outputs = task.evaluator, predictions.truth, predictions.outputs
    dependence = task.dependence(test.unit, len(truth))
    bootstrap = Bootstrap(len(truth), task.split.seed, task.gate.confidence, dependence, task.split.complete)
    own_context = with_threshold(context, predictions.threshold)
    intervals = bootstrap.intervals(evaluator.scores_of_rows(truth, outputs, own_context))
    metric = evaluator.metrics[task.gate.metric]
    samples = [
        (truth, outputs, own_context),
        (truth, predictions.baseline, context),
        (*train_sample, own_context),
    ]
    metrics, baseline, train = threads.ordered(lambda sample: evaluator.scores(*sample), samples)
    return {
        "problem": task.problem,
        "metric": task.gate.metric,
        "metrics": metrics,
        "intervals": {name: evaluator.metrics[name].bounded(interval) for name, interval in intervals.items()},
        **({"dependence": _described(dependence)} if dependence else {}),
        "baseline": baseline,
        "train": train,
        "slices": [
            {"slice": name, "rows": len(indices), "value": metric.score(truth[indices], outputs[indices], own_context)}
            for name, indices in parts(task.gate.slices, task.columns, test.rows)
        ],
        **({} if predictions.threshold is None else {"threshold": predictions.threshold}),
        **evaluator.details(predictions),
    }


def _described(dependence: Dependence) -> dict[str, Any]:
    """Return what was drawn for the intervals, and how many units there are."""
    unit_name = "blocks of consecutive time steps" if dependence.ordered else "whole groups"
    return {"drawn": unit_name, "units": len(np.unique(dependence.unit))}


def fold_scores(path: Path, evaluator: Evaluator) -> dict[str, Any]:
    """Return mean and standard deviation of every metric over the folds; empty without cross-validation."""
    if not path.is_file():
        return {}
    folds = held_out.load(path)
    scores = [evaluator.scores(fold.truth, fold.outputs, evaluator.context(fold.known)) for fold in folds]
    return {name: _summary([float(score[name]) for score in scores]) for name in evaluator.metrics}


def _summary(values: list[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)), "values": values}


def write_plots(folder: Path, plots: Mapping[str, dict[str, list[Any]]], history: dict[str, list[Any]]) -> None:
    """Write the CSV files that `dvc plots show` draws."""
    folder.mkdir()
    epochs = list(range(1, len(history.get("loss", ())) + 1))
    for name, columns in {**plots, "learning": {"epoch": epochs, **history}}.items():
        _write_csv(folder / f"{name}.csv", columns)


def _write_csv(path: Path, columns: Mapping[str, list[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
