"""Compare two versions on the test rows, metric by metric, with bootstrap intervals."""

from __future__ import annotations

from functools import partial
from typing import Any

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.evaluators._training_context import training_context
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.preparation.array_file import read_truth
from tiltyard.preparation.sealed_test import read_test
from tiltyard.registry.aliases import resolve_version
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def compare(workspace: Workspace, task: Task, first: str, second: str) -> dict[str, Any]:
    """Return each metric of both versions; a gain is that of the first over the second. Nothing is decided."""
    names, test = (
        [resolve_version(workspace, task, name) for name in (first, second)],
        read_test(workspace, task.name, task.columns),
    )
    models = [_model(workspace, task, name) for name in names]
    outputs = [model.condensed(test.rows, test.truth) for model in models]
    evaluator = task.evaluator
    prepared = workspace.out(task.name, "prepare")
    train_context = training_context(task.evaluator, prepared, read_truth(prepared / "train.npz"))
    contexts = [with_threshold(train_context, model.encoder.problem.threshold) for model in models]
    dependence = task.dependence(test.unit, len(test.truth))
    bootstrap = Bootstrap(len(test.truth), task.split.seed, task.gate.confidence, dependence)
    rows = []
    for name, metric in evaluator.metrics.items():

        def score(context: Context, outputs_of: Array, sampled: Array, metric: Any = metric) -> float:
            value: float = metric.score(test.truth[sampled], outputs_of[sampled], context)
            return value

        first_score, second_score = (partial(score, context) for context in contexts)
        gain = bootstrap.gain(metric, first_score, outputs[0], outputs[1], second_score)
        result = "better" if gain.low > 0 else "worse" if gain.high < 0 else "no sure difference"
        result = "the same" if names[0] == names[1] else result
        low, high = gain.ends
        values = {"first": gain.new, "second": gain.old, "gain": gain.value, "low": low, "high": high}
        rows.append({"metric": name, **values, "first_is": result})
    return {"task": task.name, "first": names[0], "second": names[1], "rows": len(test.truth), "metrics": rows}


def _model(workspace: Workspace, task: Task, name: str) -> Predictor:
    """Return the packaged model, or what was trained last if it is that version."""
    train = workspace.out(task.name, "train")
    trained = (train / "model.onnx").is_file() and version(train) == name
    folder = train if trained else Registry(workspace).package(task.name, name)
    return Predictor.load(folder)
