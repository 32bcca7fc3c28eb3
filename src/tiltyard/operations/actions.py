"""Carries out the actions of a trial and the rollback. Each may be repeated: after a kill, what is done is skipped."""

from __future__ import annotations

from typing import Literal

from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.modeling.inference.predictor import version
from tiltyard.monitoring.traffic import end_rollout, start_rollout
from tiltyard.operations.state import Pending
from tiltyard.registry import rollout
from tiltyard.registry.registry import Registry
from tiltyard.registry.rollback import rollback
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

Result = Literal["done", "approval", "held"]  # of a promotion: waits for approval, or not promoted


def carry_out(workspace: Workspace, task: Task, pending: Pending) -> tuple[Result, str]:
    """Carry out an action; return what became of it, with a sentence."""
    if pending.action in ("shadow", "canary"):
        return "done", _route(workspace, task, pending)
    if pending.action == "promote":
        return _promote(workspace, task, pending.version)
    if pending.action == "rollback":
        return "done", _roll_back(workspace, task, pending)
    end_rollout(workspace, task)
    return "done", f"the trial of {pending.version} ended: {pending.reason}"


def _route(workspace: Workspace, task: Task, pending: Pending) -> str:
    """Start a shadow or canary unless it runs already."""
    share = pending.share if pending.action == "canary" else 1.0
    running = rollout.read(workspace.traffic(task.name))
    if running is None or (running.version, running.way, running.share) != (pending.version, pending.action, share):
        start_rollout(workspace, task, (pending.version, pending.action), share)
    return f"{pending.version} is {pending.action} for {share:g} of the clients"


def _roll_back(workspace: Workspace, task: Task, pending: Pending) -> str:
    """Restore the previous champion unless that is done already."""
    champion = Registry(workspace).champion(task.name)
    if champion and champion.version == pending.champion:
        rollback(workspace, task)
    return f"{pending.version} is champion again in place of {pending.champion}: {pending.reason}"


def _promote(workspace: Workspace, task: Task, challenger: str) -> tuple[Result, str]:
    """Judge the challenger again, with its live figures, and promote it if the gate allows."""
    from tiltyard.gate.promote import promote

    with task_lock(workspace, task.name):
        champion = Registry(workspace).champion(task.name)
        if champion and champion.version == challenger:
            return "done", f"{challenger} is champion"
        train = workspace.out(task.name, "train")
        trained = version(train) if (train / "model.onnx").is_file() else "none"
        if trained != challenger:
            raise RegistryError(
                f"expected the trained model of the challenger {challenger} to judge; received {trained}",
                hint=f"let the watch retrain, or judge what was trained: tiltyard promote {task.name}",
            )
        verdict = promote(workspace, task)
    if verdict.verdict == "PROMOTE":
        return "done", f"{challenger} is champion: {verdict.reasons[0]}"
    return "approval" if verdict.fails_only("approval") else "held", f"{verdict.verdict}: {verdict.reasons[0]}"
