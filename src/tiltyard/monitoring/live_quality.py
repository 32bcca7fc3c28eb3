"""Live quality: recorded predictions joined with the ground truth sent later, and metrics of each version."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.columns._label_cells import multi_hot
from tiltyard.modeling.evaluators.forecasting import training_context
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.modeling.problems.anomaly import LABELS
from tiltyard.modeling.problems.base import WITHOUT_FEEDBACK, Threshold
from tiltyard.monitoring import records
from tiltyard.preparation.array_file import read_truth
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

MIN_TRUTHS = 20  # for a metric to be reported
COLUMNS = ("id", "instance", "owner", "time", "version", "arm", "ms", "answer")
ROW_KEYS = ["id", "instance", "owner"]  # clients may choose equal ids, but an owner belongs to one client


@dataclass(frozen=True)
class LiveQuality:
    """The recorded predictions of a task: a row for each, with its ground truth as JSON if it is known."""

    task: Task
    context: Context
    predictions: pd.DataFrame
    feedback: dict[str, int]
    thresholds: dict[str, Threshold] = field(default_factory=dict)  # by version, if it has any

    def context_of(self, version: str) -> Context:
        """Return the context of metrics of a version: with the thresholds by which it decides."""
        return with_threshold(self.context, self.thresholds.get(version))

    def predictions_of(self, version: str) -> pd.DataFrame:
        """Return the predictions of a version; if a client sent the same id twice, only the last."""
        rows = self.predictions[self.predictions["version"] == version]
        return rows.drop_duplicates(ROW_KEYS, keep="last")

    def with_truth(self, version: str) -> pd.DataFrame:
        """Return the predictions of a version whose ground truth is known."""
        rows = self.predictions_of(version)
        return rows[rows["truth"].notna()]

    def arms(self) -> list[dict[str, Any]]:
        """Return a row for each version and arm: number of requests, latency and period."""
        return [_arm_row(rows) for _, rows in self.predictions.groupby(["version", "arm"], sort=True)]

    def quality(self, version: str) -> dict[str, Any] | None:
        """Return the metric of a version with its interval; None if there are too few truths."""
        rows = self.with_truth(version)
        if len(rows) < MIN_TRUTHS:
            return None
        truth, outputs = truths_of(self.task, rows), outputs_of(self.task, rows)
        metric, name = self.task.metric, self.task.gate.metric
        bootstrap = Bootstrap(len(rows), self.task.split.seed, self.task.gate.confidence)
        context = self.context_of(version)
        low, high = bootstrap.intervals(lambda at: {name: metric.score(truth[at], outputs[at], context)})[name]
        values = {"value": metric.score(truth, outputs, context), "low": low, "high": high}
        return {
            "truths": len(rows),
            **{key: number if math.isfinite(number) else None for key, number in values.items()},
        }


def _arm_row(rows: pd.DataFrame) -> dict[str, Any]:
    requests = rows.drop_duplicates(["id", "time"])
    return {
        "version": rows["version"].iloc[0],
        "arm": rows["arm"].iloc[0],
        "requests": len(requests),
        "instances": len(rows),
        "p50_ms": float(requests["ms"].quantile(0.5)),
        "p99_ms": float(requests["ms"].quantile(0.99)),
        "first": rows["time"].min().isoformat(timespec="seconds"),
        "last": rows["time"].max().isoformat(timespec="seconds"),
    }


def load_live_quality(workspace: Workspace, task: Task) -> LiveQuality:
    """Read the records of a task, and join truths with predictions."""
    answers = _frame(records.read(workspace, task, "answers", [f"record.{name}" for name in COLUMNS]))
    feedback_rows = _frame(records.read(workspace, task, "truths")).sort_values("received", kind="stable")
    last_truths = _last_truths(feedback_rows)
    predictions = answers.sort_values("time", kind="stable").merge(last_truths, on=ROW_KEYS, how="left")
    served = predictions[predictions["arm"] != "shadow"]
    matched = last_truths.merge(answers[ROW_KEYS].drop_duplicates(), on=ROW_KEYS)
    feedback = {
        "truths": len(feedback_rows),
        "repeated": len(feedback_rows) - len(last_truths),
        "unknown": len(last_truths) - len(matched),
        "waiting": int(served["truth"].isna().sum()),
    }
    versions = {str(version): _threshold(workspace, task, str(version)) for version in predictions["version"].unique()}
    thresholds = {version: threshold for version, threshold in versions.items() if threshold is not None}
    return LiveQuality(task, _context(workspace, task), predictions, feedback, thresholds)


def _threshold(workspace: Workspace, task: Task, version: str) -> Threshold | None:
    """Return the threshold of a packaged version, or those of its labels; None if it has none or is not here."""
    path = workspace.package(task.name, version) / "encoder.json"
    threshold: Threshold | None = files.read_json(path)["target"].get("threshold") if path.is_file() else None
    return threshold


def _last_truths(feedback_rows: pd.DataFrame) -> pd.DataFrame:
    """Return the truth of each prediction: its owner's last one, or the first one if the owner is not known."""
    import pandas as pd

    has_owner = feedback_rows["owner"] != ""  # records of an earlier release have no owners
    first, last = (
        feedback_rows[~has_owner].drop_duplicates(ROW_KEYS, keep="first"),
        feedback_rows[has_owner].drop_duplicates(ROW_KEYS, keep="last"),
    )
    return pd.concat([first, last])


def _frame(table: Any) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    frame = frame.rename(columns=lambda name: str(name).removeprefix("record."))
    return frame.assign(owner=frame["owner"].fillna("").astype(object) if "owner" in frame else "")


def _context(workspace: Workspace, task: Task) -> Context:
    """Return the context of metrics from the training rows; without it, some metrics are NaN."""
    prepared = workspace.out(task.name, "prepare")
    path = prepared / "train.npz"
    context = training_context(task.evaluator, prepared, read_truth(path)) if path.is_file() else {}
    return context or {"naive_mae": math.nan}


def truths_of(task: Task, rows: pd.DataFrame) -> Array:
    """Return truths as an array for metrics."""
    values = [json.loads(text) for text in rows["truth"]]
    if task.problem == "multilabel":
        return multi_hot(values, task.labels)
    if task.classes:
        indices = {name: index for index, name in enumerate(task.classes)}
        return np.array([indices[value] for value in values], dtype=np.int64)
    if task.problem == "anomaly":
        return np.array([LABELS.index(value) for value in values], dtype=np.int64)
    if task.target.columns:
        return np.array([[value[name] for name in task.target.columns] for value in values], dtype=np.float64)
    return np.array(values, dtype=np.float64)


def outputs_of(task: Task, rows: pd.DataFrame, column: str = "answer") -> Array:
    """Return predictions as an array of model outputs: probabilities, numbers, or forecasts with their bounds."""
    answers = [json.loads(text) for text in rows[column]]
    if task.problem == "anomaly":  # the error of the reconstruction is not in the answer
        return np.array([[np.nan, answer["score"]] for answer in answers])
    if task.labels:
        return np.array([[answer["probabilities"][name] for name in task.labels] for answer in answers])
    if task.target.columns:
        return np.array([[answer[name] for name in task.target.columns] for answer in answers], dtype=np.float64)
    if isinstance(answers[0], dict):
        return np.array([[*answer.values()] for answer in answers])
    return np.array(answers, dtype=np.float64).reshape(len(answers), -1)


def beside_evaluation(workspace: Workspace, quality: LiveQuality, version: str) -> dict[str, Any]:
    """Return the live metric of a version with that of its evaluation."""
    schema, metric = workspace.package(quality.task.name, version) / "schema.json", quality.task.gate.metric
    evaluated = files.read_json(schema)["metrics"].get(metric) if schema.is_file() else None
    measured = None if quality.task.problem_type.targets in WITHOUT_FEEDBACK else quality.quality(version)
    without_metric = {"truths": len(quality.with_truth(version)), "value": None, "low": None, "high": None}
    return {"version": version, "metric": metric, **(measured or without_metric), "evaluated": evaluated}
