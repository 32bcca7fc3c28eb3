"""Estimated quality: the metric that recent predictions can be expected to have, before any ground truth arrives.

Ground truths are drawn from the model's own uncertainty, and the predictions are scored by them: for classes from its
calibrated probabilities (as in CBPE, confidence-based performance estimation), for numbers from the prediction and a
residual whose size a loss model predicts from the features. It sees changes of the inputs. It cannot see a changed
relation between inputs and target, which only ground truth shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.monitoring import records
from tiltyard.monitoring.live_quality import MIN_TRUTHS, ROW_KEYS, LiveQuality, outputs_of
from tiltyard.monitoring.loss_model import LossModel
from tiltyard.monitoring.temperature import Temperatures
from tiltyard.preparation.sealed_test import TestRows, read_test
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 200  # of all ground truths
Draw = Callable[[np.random.Generator], Array]


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval, or why it was not estimated; with ground truth, the error of the estimate."""

    metric: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    rows: int = 0
    reason: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value) and not self.reason


def estimate(workspace: Workspace, quality: LiveQuality, version: str) -> Estimate:
    """Estimate the metric of all predictions of a version in `quality`."""
    task, rows = quality.task, quality.predictions_of(version)
    metric = task.gate.metric
    if reason := unsupported(task):
        return Estimate(metric, reason=reason)
    if len(rows) < MIN_TRUTHS:
        return Estimate(metric, reason=f"expected {MIN_TRUTHS} recorded predictions; received {len(rows)}")
    try:
        outputs, draw = _drawing(workspace, task, version, rows)
    except TiltyardError as error:
        return Estimate(metric, reason=error.message)
    generator, context = np.random.default_rng(task.split.seed), quality.context_of(version)
    with np.errstate(all="ignore"):  # a drawing may lack a class
        scores = np.array([task.metric.score(draw(generator), outputs, context) for _ in range(DRAWS)])
    scores = scores[np.isfinite(scores)]
    if len(scores) < DRAWS / 2:
        return Estimate(metric, reason=f"{metric} has no value for so few predictions")
    tail = (1 - task.gate.confidence) / 2
    low, high = np.quantile(scores, [tail, 1 - tail])
    return Estimate(metric, float(scores.mean()), float(low), float(high), len(outputs))


def unsupported(task: Task) -> str:
    """Return why the quality of a task cannot be estimated; empty if it can."""
    if task.classes:
        return ""
    if task.problem != "regression" or task.target.columns:
        return f"it is estimated for one label or one number, not for {task.problem}"
    return "" if task.modality == "table" else "it is estimated from the features of a table"


def with_error(workspace: Workspace, quality: LiveQuality, version: str, window: int) -> dict[str, Any]:
    """Return the estimate for the latest predictions, and how wrong it is for those whose ground truth is known."""
    found = estimate(workspace, latest(quality, quality.predictions_of(version), window), version)
    content: dict[str, Any] = {key: _finite(value) for key, value in asdict(found).items()}
    known = latest(quality, quality.with_truth(version), window)
    live = known.quality(version) if found.measured else None
    again = estimate(workspace, known, version) if live and live["value"] is not None else None
    if live is None or again is None or not again.measured:
        return {**content, "checked": None}
    checked = {"rows": again.rows, "estimated": again.value, "live": live["value"]}
    return {**content, "checked": {**checked, "error": again.value - live["value"]}}


def latest(quality: LiveQuality, rows: pd.DataFrame, window: int) -> LiveQuality:
    """Return the latest of some predictions."""
    return replace(quality, predictions=rows.sort_values("time", kind="stable").tail(window))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _drawing(workspace: Workspace, task: Task, version: str, rows: pd.DataFrame) -> tuple[Array, Draw]:
    """Return the outputs of predictions, and a function that draws ground truths for them."""
    fitted = _fitted(workspace, task, version)
    if isinstance(fitted, Temperatures):
        outputs = outputs_of(task, rows)
        return outputs, lambda generator: fitted.draw(outputs, generator)
    places, features = _features(workspace, task, version, rows)
    outputs = outputs_of(task, rows.iloc[places])
    return outputs, lambda generator: fitted.draw(outputs, features, generator)


def _features(workspace: Workspace, task: Task, version: str, rows: pd.DataFrame) -> tuple[list[int], Array]:
    """Return the places of the predictions whose features the model still accepts, and those features, scaled."""
    encoder = Predictor.load(Registry(workspace).package(task.name, version)).encoder
    instances = records.instances_of(workspace, task, rows[ROW_KEYS])
    accepted = [place for place, instance in enumerate(instances) if _accepts(encoder, instance)]
    if len(accepted) < MIN_TRUTHS:
        raise RegistryError(f"{version} refuses all but {len(accepted)} of {len(instances)} recorded instances")
    step = encoder.max_instances
    parts = [accepted[start : start + step] for start in range(0, len(accepted), step)]
    encoded = [encoder.encode(encoder.parse([instances[place] for place in part])) for part in parts]
    return accepted, _scaled(encoder, np.concatenate(encoded))


def _accepts(encoder: Any, instance: Any) -> bool:
    try:
        encoder.parse([instance])
    except TiltyardError:
        return False
    return True


def _scaled(encoder: Any, features: Array) -> Array:
    mean, std = (np.array(values, dtype=np.float64) for values in encoder.scaling())
    scaled: Array = (features.reshape(len(features), -1) - mean) / std
    return scaled


def _fitted(workspace: Workspace, task: Task, version: str) -> Temperatures | LossModel:
    """Return what was fitted to the sealed rows of a version, which never changes once it is stored."""
    kind = Temperatures if task.classes else LossModel
    path = workspace.state(task.name, "estimate") / f"{version}.json"
    if path.is_file():
        return kind.load(path)
    test = _sealed_rows(workspace, task, version)
    predictor = Predictor.load(Registry(workspace).package(task.name, version))
    outputs = predictor.condensed(test.rows, test.truth)
    fitted: Temperatures | LossModel
    if task.classes:
        fitted = Temperatures.fit(outputs, test.truth, task.split.seed)
    else:
        features = _scaled(predictor.encoder, predictor.encoder.encode(test.rows))
        fitted = LossModel.fit(features, test.truth - outputs.reshape(len(outputs), -1)[:, 0], task.split.seed)
    fitted.save(path)
    return fitted


def _sealed_rows(workspace: Workspace, task: Task, version: str) -> TestRows:
    """Return the sealed rows that a version was judged by; of later ones, it may have been trained on some."""
    judged = [one for one in Registry(workspace).decisions(task.name) if one.version == version and one.test]
    test = read_test(workspace, task.name, task.columns)
    if not judged or judged[-1].test != test.digest:
        raise RegistryError(f"the sealed rows are not those that {version} was judged by, which calibrate the estimate")
    return test
