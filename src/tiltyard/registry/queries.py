"""Queries of the registry: status of all tasks, history and reasons of decisions, and comparison of two versions."""

from __future__ import annotations

from functools import partial
from typing import Any

from tiltyard.arrays import Array
from tiltyard.config import loader, task_list
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError, TiltyardError
from tiltyard.modeling.evaluators.forecasting import training_context
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.modeling.metrics.base import Context, with_threshold
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.preparation.array_file import read_truth
from tiltyard.preparation.sealed_test import read_test
from tiltyard.registry.aliases import resolve_version
from tiltyard.registry.decision import TRAFFIC_VERDICTS, Decision
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace


def status(workspace: Workspace) -> list[dict[str, Any]]:
    """Return a row for each task; fields are None without a champion."""
    return [_row(workspace, name) for name in task_list.listed(workspace)]


def _row(workspace: Workspace, name: str) -> dict[str, Any]:
    registry = Registry(workspace)
    mistake: TiltyardError | None = loader.find_error(workspace, name)
    try:
        champion, decisions = registry.champion(name), registry.decisions(name)
    except RegistryError as error:  # concerns this task only: the others still have rows
        champion, decisions, mistake = None, [], mistake or error
    shown = [one for one in decisions if one.verdict != "OPERATE"]  # each of its steps has a verdict of its own
    decision, last = champion.decision if champion else None, shown[-1] if shown else None
    facts = recorded_facts(decisions, decision.version) if decision else {}
    return {
        "task": name,
        "version": decision.version if decision else None,
        "metric": decision.metric if decision else None,
        "value": decision.metrics.get(decision.metric) if decision else None,
        "since": decision.time if decision else None,
        "verdict": last.verdict if last else None,
        "reasons": last.reasons if last else [],
        "decided": last.time if last else None,
        "mistake": mistake.message if mistake else None,
        "hint": mistake.hint if mistake else None,
        "override": decision.evidence.get("override") if decision else None,
        "consists_of": blend["summary"] if (blend := facts.get("blend")) else None,
        "stand_in": facts.get("stand_in"),
    }


def recorded_facts(decisions: list[Decision], version: str) -> dict[str, Any]:
    """Return the recorded facts of a version: what it consists of, and whether its data are a stand-in."""
    judged = [
        decision.evidence["facts"] for decision in decisions if decision.version == version and _is_judged(decision)
    ]
    return judged[-1] if judged else {}


def _is_judged(decision: Decision) -> bool:
    """Return whether it holds the facts of a model; those of other kinds hold none."""
    return bool(decision.evidence.get("facts"))


def recorded_override(workspace: Workspace, task: str, version: str) -> dict[str, Any] | None:
    """Return a person's word by which a version became champion; None if it won by itself."""
    promoted = [d for d in Registry(workspace).decisions(task) if d.version == version and d.verdict == "PROMOTE"]
    return promoted[-1].evidence.get("override") if promoted else None


def history(workspace: Workspace, task: Task) -> list[dict[str, Any]]:
    """Return all decisions as JSON, oldest first."""
    return [decision.model_dump(mode="json") for decision in Registry(workspace).decisions(task.name)]


def why(workspace: Workspace, task: Task, name: str | None = None) -> dict[str, Any]:
    """Return the last decision about a version, or the last of all."""
    decisions = Registry(workspace).decisions(task.name)
    if not decisions:
        raise RegistryError(f"nothing was decided about {task.name} yet", hint=f"start a run: tiltyard run {task.name}")
    last = ([one for one in decisions if one.verdict != "OPERATE"] or decisions)[-1]
    version = resolve_version(workspace, task, name) if name else last.version
    decided = [decision for decision in decisions if decision.version == version]
    if not decided:
        raise RegistryError(
            f"nothing was decided about version {version} of {task.name}",
            hint=f"list decisions: tiltyard history {task.name}",
        )
    judged = [
        decision for decision in decided if decision.verdict not in TRAFFIC_VERDICTS
    ]  # traffic decisions have no checks
    return (judged or decided)[-1].model_dump(mode="json")


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
    bootstrap = Bootstrap(len(test.truth), task.split.seed, task.gate.confidence, dependence, task.split.complete)
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
