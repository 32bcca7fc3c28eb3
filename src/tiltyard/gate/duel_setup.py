"""Building a duel: challenger, champion, baseline and a reference predict the same sealed test rows."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows, row_count, take_rows
from tiltyard.config.task import Task
from tiltyard.data.versions import recorded
from tiltyard.errors import RegistryError
from tiltyard.evaluation import anomaly, captioning, evaluate, pictures, recommendation, reconstruction, sampling
from tiltyard.evaluation.evaluated import Evaluated
from tiltyard.evaluation.reference import Reference, fit_reference
from tiltyard.files import Json
from tiltyard.gate.duel import Ask, Duel, latency_ms, time_ratios
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.evaluators.forecasting import training_context
from tiltyard.modeling.evaluators.recommendation import RANKING
from tiltyard.modeling.inference.drift_reference import reference
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor, model_files
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK, Threshold
from tiltyard.modeling.problems.classification import probabilities
from tiltyard.modeling.problems.multilabel import THRESHOLD
from tiltyard.monitoring.drift import MAX_ROWS, compare_rows, drift_unavailable
from tiltyard.monitoring.live_comparison import LiveComparison, compare
from tiltyard.monitoring.live_quality import load_live_quality
from tiltyard.monitoring.records import latest
from tiltyard.preparation.array_file import Features, open_part
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.registry.approve import approvers
from tiltyard.registry.decision import Decision, provenance
from tiltyard.registry.registry import Champion, Registry
from tiltyard.serving.packaging.model_card import card, empty, ran_on
from tiltyard.workspace import Workspace

JUDGED = {"PROMOTE", "HOLD", "REJECT"}
# Memory after loading. The peak would not do: on Linux a child starts with the peak of its parent.
WEIGH = """\
import sys
from pathlib import Path
import psutil
from tiltyard.modeling.inference.predictor import Predictor
model = Predictor.load(Path(sys.argv[1]))
print(psutil.Process().memory_info().rss / 2**20)
"""


def build_duel(
    workspace: Workspace,
    task: Task,
    evaluated: Evaluated,
    champion: Champion | None,
    *,
    allow_stand_in: bool = False,
) -> Duel:
    """Predict the sealed rows with every model now."""
    report, test, predictor = evaluated.report, evaluated.test, evaluated.predictor
    prepared = workspace.out(task.name, "prepare")
    learned, later = (open_part(prepared / f"{name}.npz") for name in ("train", "validation"))
    features, train_truth = learned
    rival = _champion_predictor(workspace, task, champion, test) if champion else None
    served = served_rows(rival, task.labels, test) if rival else None
    samples = None
    if task.problem_type.generates:
        samples = sampling.Samples.of(task, predictor.encoder, learned, evaluated.train)
    predictions = evaluate.predict(task, predictor, test, learned, samples)
    context = training_context(task.evaluator, prepared, train_truth)
    return Duel(
        task=task,
        truth=predictions.truth,
        challenger=predictions.outputs,
        baseline=predictions.baseline,
        champion=samples.outputs(rival, rival.encoder.encode(test.rows), test.truth)
        if samples and rival
        else _outputs_of(rival, task, test, served, predictions.baseline),
        served=None if served is None or served.all() else served,
        threshold=predictor.encoder.problem.threshold,
        champion_threshold=champion_threshold(rival.encoder, task.labels) if rival else None,
        newer=champion is not None and _is_newer(workspace, task, report["data"], champion.decision.data),
        context=context,
        train=report["train"][task.gate.metric],
        latency_ms=latency_ms(predictor, test.rows),
        live=_live(workspace, task, report["version"], champion.version) if champion else None,
        reference=recommendation.item_neighbours(predictor, learned, test)
        if task.problem_type.recommends
        else _reference(task, predictor.encoder, (learned, later), test, context),
        time_ratios=_time_ratios(workspace, champion, evaluated) if champion else {},
        rows=test.rows,
        dependence=task.dependence(test.unit, len(test.truth)),
        **_askable(task, test, learned, (predictor, rival if served is None or served.all() else None)),
        **_drift(workspace, task, predictor.encoder, features),
        facts=_facts(workspace, task, report),
        approvals=approvers(Registry(workspace), task.name, report["version"], signed=task.gate.signed),
        allow_stand_in=allow_stand_in,
        samples=report.get("samples", {}),
        uses=uses(Registry(workspace).decisions(task.name), report),
    )


def _reference(
    task: Task,
    encoder: Encoder,
    parts: tuple[tuple[Features, Array], tuple[Features, Array]],
    test: TestRows,
    context: Context,
) -> Reference | None:
    """Return the best of the models that a user could have picked."""
    if task.problem == "anomaly":
        learned, later = (features for features, _ in parts)
        return anomaly.Compared(task, encoder, learned, later, test, context).best_detector()
    if task.problem == "captioning":
        return captioning.nearest_picture(task, encoder, parts[0], test)
    return fit_reference(task, encoder, parts, encoder.encode(test.rows), context)


def uses(decisions: list[Decision], report: Json) -> int:
    """Count the other versions judged by the same metric on the same test rows."""
    judged = {
        decision.version
        for decision in decisions
        if decision.verdict in JUDGED and (decision.test, decision.metric) == (report["test"], report["metric"])
    }
    return len(judged - {report["version"]})


def _live(workspace: Workspace, task: Task, new: str, old: str) -> LiveComparison | None:
    """Compare both models with live ground truth, if the challenger ran as shadow or canary."""
    if task.problem_type.targets in WITHOUT_FEEDBACK or not (workspace.records / task.name / "truths").is_dir():
        return None
    return compare(load_live_quality(workspace, task), new, old)


def _drift(workspace: Workspace, task: Task, encoder: Encoder, features: Features) -> Json:
    """Compare recently recorded inputs with the challenger's training rows; count those it would refuse."""
    if not (workspace.records / task.name / "answers").is_dir():
        return {"inputs": {"why": "no inputs of clients are recorded"}}
    rows = latest(workspace, task, MAX_ROWS)
    if why := drift_unavailable(task, rows):
        return {"inputs": {"why": why}}
    comparison = compare_rows(task, encoder, reference(encoder, features[:]), rows)
    return {
        "drift": comparison.columns,
        "inputs": {"rows": comparison.rows, "refused": comparison.refused, "first": comparison.first},
    }


def _outputs_of(
    rival: Predictor | None, task: Task, test: TestRows, served: Array | None, baseline: Array
) -> Array | None:
    """Return the champion's outputs; None if there is no champion."""
    return None if rival is None or served is None else champion_outputs(rival, task.labels, test, served, baseline)


def _is_newer(workspace: Workspace, task: Task, data: str, champion: str) -> bool:
    """Return whether one version of the data was recorded after another."""
    places = {version.data: place for place, version in enumerate(recorded(workspace, task.name))}
    return champion in places and data in places and places[data] > places[champion]


def _askable(
    task: Task, test: TestRows, train: tuple[Features, Array], models: tuple[Predictor, Predictor | None]
) -> Json:
    """Return what predicts disturbed rows, except texts: the models, and the baseline if it depends on rows."""

    def baseline(rows: Rows) -> Array:
        return task.evaluator.baseline(
            train[1], evaluate.past(task, dataclasses.replace(test, rows=rows)), task.gate.metric
        )

    if task.problem_type.targets == "text" or task.problem_type.generates or task.problem_type.clusters:
        return {}
    if task.gate.metric in RANKING:  # a ranking is about all rows of a user
        return {}
    predictor, rival = models
    arguments: Json = {"ask": predictor.outputs}
    if task.problem == "anomaly":
        arguments["ask"] = _condensed(predictor)
        arguments["ask_baseline"] = partial(anomaly.baseline, task, predictor.encoder, train[0])
        return arguments | ({"ask_champion": _condensed(rival)} if rival else {})
    if task.problem_type.targets == "row":
        reference = reconstruction.principal_components(task, predictor.encoder, train)
        arguments |= {"ask_baseline": reference, "errors": partial(reconstruction.clean_errors, predictor.encoder)}
    if task.problem_type.targets in ("objects", "mask"):
        arguments["errors"] = partial(pictures.condensed, predictor.encoder)
    if task.problem == "forecasting":
        arguments["ask_baseline"] = baseline
    return arguments | ({"ask_champion": rival.outputs} if rival else {})


def _condensed(predictor: Predictor) -> Ask:
    """Return a function from rows to errors and scores."""
    return lambda rows: predictor.condensed(rows, np.zeros(row_count(rows)))


def _champion_predictor(workspace: Workspace, task: Task, champion: Champion, test: TestRows) -> Predictor:
    """Return the champion's own model and encoder, which must be able to read the current test rows."""
    predictor = Predictor.load(Registry(workspace).package(champion.task, champion.version))
    pointer = workspace.champion(champion.task).relative_to(workspace.root)
    if missing := predictor.encoder.columns.keys() - test.rows.keys():
        raise RegistryError(
            f"champion {champion.version} cannot be compared: it needs {', '.join(sorted(missing))}, "
            f"which the test rows lack; they have {', '.join(test.rows)}",
            hint=f"to start again without a champion: git rm {pointer}",
        )
    if task.problem_type.targets in ("objects", "mask") and predictor.encoder.classes != task.labels:
        raise RegistryError(
            f"champion {champion.version} cannot be compared: it knows {', '.join(predictor.encoder.classes)}, "
            f"in this order; target.classes has {', '.join(task.labels)}",
            hint=f"to start again without a champion: git rm {pointer}",
        )
    return predictor


def _time_ratios(workspace: Workspace, champion: Champion, evaluated: Evaluated) -> dict[int, float]:
    """Time a variant against the champion; return nothing if the challenger is none."""
    if "variant" not in files.read_json(evaluated.train / "training.json"):
        return {}
    origin = Predictor.load(Registry(workspace).package(champion.task, champion.version))
    return time_ratios(evaluated.predictor, origin, evaluated.test.rows)


def _facts(workspace: Workspace, task: Task, report: Json) -> Json:
    """Return size, memory, parity and provenance of the challenger."""
    train, origin = workspace.out(task.name, "train"), provenance(workspace)
    training, device = files.read_json(train / "training.json"), ran_on(train)
    recorded_data = {version.data for version in recorded(workspace, task.name)}
    return {
        **{name: training[name] for name in ("variant", "blend", "reference") if name in training},
        **({"stand_in": report["stand_in"]} if "stand_in" in report else {}),
        "size_mb": sum(path.stat().st_size for path in model_files(train) if path.suffix == ".onnx") / 2**20,
        "memory_mb": _memory_mb(train),
        "parity": training.get("parity"),
        "empty": empty(card(task, report, training, device)),
        "dirty": origin["dirty"],
        "origin": {
            "data": report["data"] if report["data"] in recorded_data else None,
            "test": report["test"],
            "version": report["version"],
            "seed": training.get("seed"),
            "parameters": training.get("parameters"),
            "commit": origin["commit"],
        },
    }


def _memory_mb(folder: Path) -> float:
    """Return the memory of a new process that has loaded the model."""
    result = subprocess.run([sys.executable, "-c", WEIGH, str(folder)], capture_output=True, text=True, check=True)
    return float(result.stdout)


def served_rows(predictor: Predictor, classes: list[str], test: TestRows) -> Array:
    """Return which rows the champion serves: their classes and their values are among those that it knows."""
    served = np.ones(len(test.truth), dtype=bool)
    for name, column in predictor.encoder.columns.items():
        served &= _accepted(column, test.rows[name])
    if classes and test.truth.ndim <= 2:  # else objects or masks, whose labels are the same
        served_classes = np.isin(classes, predictor.encoder.classes)
        if test.truth.dtype.kind == "b":
            served &= ~test.truth[:, ~served_classes].any(axis=1)
        else:
            served &= served_classes[test.truth.astype(np.int64)]
    return served


def champion_outputs(predictor: Predictor, classes: list[str], test: TestRows, served: Array, baseline: Array) -> Array:
    """Return the champion's outputs, in the order of the task's classes; those of the baseline where it refuses."""
    places, rows = np.flatnonzero(served), test.rows
    if not len(places):
        return baseline
    accepted_rows: Rows = rows if served.all() else take_rows(rows, places)
    outputs = predictor.condensed(accepted_rows, test.truth[places])
    outputs = recommendation.ranked(predictor, accepted_rows, test.truth[places], outputs)
    if classes and predictor.encoder.classes != classes:
        outputs = _reordered(probabilities(outputs), predictor.encoder.classes, classes)
        outputs = outputs if test.truth.dtype.kind == "b" else _normalised(outputs)
    if served.all():
        return outputs
    outputs = probabilities(outputs) if classes else outputs
    all_outputs = np.array(np.broadcast_to(baseline.astype(outputs.dtype), (len(served), *outputs.shape[1:])))
    all_outputs[places] = outputs
    return all_outputs


def champion_threshold(encoder: Encoder, labels: list[str]) -> Threshold | None:
    """Return the champion's decision threshold; those of several labels in the order of the task's labels."""
    threshold = encoder.problem.threshold
    if not isinstance(threshold, list):
        return threshold
    own = dict(zip(encoder.classes, threshold, strict=True))
    return [own.get(label, THRESHOLD) for label in labels]


def _accepted(column: Column, values: Array) -> Array:
    """Return which values of a column a service accepts."""
    if isinstance(column, Category):
        blank = values == "" if column.missing == "bucket" else np.zeros(len(values), dtype=bool)
        named = np.isin(values, column.names) if column.unseen == "refuse" else values != ""
        return np.asarray(blank | named)
    if isinstance(column, Number):
        low, high = column.limits
        missing = np.isnan(values) if column.missing != "refuse" else np.zeros(len(values), dtype=bool)
        return np.asarray(missing | ((values >= low) & (values <= high)))
    return np.ones(len(values), dtype=bool)


def _reordered(shares: Array, champion_classes: list[str], classes: list[str]) -> Array:
    """Return probabilities of the task's classes: 0 for one that is new, and without those that are gone."""
    reordered = np.zeros((len(shares), len(classes)), dtype=shares.dtype)
    for place, name in enumerate(classes):
        if name in champion_classes:
            reordered[:, place] = shares[:, champion_classes.index(name)]
    return reordered


def _normalised(shares: Array) -> Array:
    """Return probabilities that sum to 1."""
    total = shares.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=np.full_like(shares, 1 / shares.shape[1]), where=total > 0))
