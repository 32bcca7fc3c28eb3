"""The steps of the pipeline as Prefect tasks: fetch, the four DVC stages, promote and push."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.tasks import exponential_backoff

from tiltyard.config import base_tasks, loader
from tiltyard.config.task import Task as TaskFile
from tiltyard.data import dvc
from tiltyard.errors import SourceError, WorkspaceError
from tiltyard.gate.verdict import Verdict
from tiltyard.pipelines import artifacts, unchanged
from tiltyard.registry.approve import approvers
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

POLL_SECONDS = 2.0  # seconds between two checks for an approval


def _is_transient(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Return whether an error may be transient, as one of the network is, and the step should be retried."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, SourceError | WorkspaceError | OSError)


# Prefect's own cache is off: DVC decides what must run again.
WITHOUT_RETRIES: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
WITH_RETRIES: dict[str, Any] = {
    **WITHOUT_RETRIES,
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _is_transient,
}


@task(name="fetch", task_run_name="fetch {name}", **WITH_RETRIES)
def fetch(root: str, name: str) -> str:
    """Fetch raw data, unless it was fetched when the run began; return 'new', 'same' or 'edited' (by hand)."""
    from tiltyard.data.fetch import get

    workspace = Workspace(Path(root))
    return unchanged.FETCHED.pop(name, "") or get(workspace, loader.load(workspace, name)).state


def _stage(stage: str) -> Task[..., Any]:
    """Return the Prefect task that runs one DVC stage; an unchanged one is Completed under the name Skipped."""

    @task(name=stage, task_run_name=f"{stage} {{name}}", **WITHOUT_RETRIES)
    def run(root: str, name: str, *, current: bool = False) -> Any:
        workspace = Workspace(Path(root))
        stale = not current and base_tasks.is_stage_stale(workspace, loader.load(workspace, name), stage)
        how = "skipped" if current else dvc.run_stage(workspace, stage, name, force=stale)
        if show := ARTIFACTS.get(stage):
            show(workspace, name)
        if stage == "evaluate" and (how == "ran" or not (workspace.report / f"{name}.html").is_file()):
            artifacts.create_report_link(workspace, loader.load(workspace, name))
        return Completed(name="Skipped", data=how) if how == "skipped" else how

    return run


ARTIFACTS: dict[str, Callable[[Workspace, str], None]] = {
    "validate": artifacts.create_validation_table,
    "evaluate": artifacts.create_metric_table,
}


@task(name="promote", task_run_name="promote {name}", **WITHOUT_RETRIES)
def promote(root: str, name: str, *, allow_stand_in: bool = False) -> Verdict:
    """Judge the challenger; if it wins, package it, test the package and make it the champion."""
    from tiltyard.gate.promote import promote as action

    workspace = Workspace(Path(root))
    task_file = loader.load(workspace, name)
    verdict = action(workspace, task_file, allow_stand_in=allow_stand_in)
    if (
        verdict.fails_only("approval")
        and task_file.gate.approval_minutes
        and wait_for_approval(workspace, task_file, verdict.version)
    ):
        verdict = action(workspace, task_file, allow_stand_in=allow_stand_in)
    artifacts.create_verdict_text(name, verdict.verdict, verdict.reasons)
    if not verdict.recorded:
        artifacts.create_report_link(workspace, task_file)
    return verdict


def wait_for_approval(workspace: Workspace, task_file: TaskFile, version: str) -> bool:
    """Wait for an approval; return whether it came in time."""
    end, registry = time.monotonic() + 60 * task_file.gate.approval_minutes, Registry(workspace)
    while (
        not (approved_by := approvers(registry, task_file.name, version, signed=task_file.gate.signed))
        and time.monotonic() < end
    ):
        time.sleep(POLL_SECONDS)
    return bool(approved_by)


STEPS: dict[str, Task[..., Any]] = {
    "fetch": fetch,
    **{stage: _stage(stage) for stage in dvc.STAGES},
    "promote": promote,
}


@task(name="push", task_run_name="push", **WITH_RETRIES)
def push(root: str) -> int:
    """Push all versions to the default remote."""
    return dvc.push(Workspace(Path(root)))
