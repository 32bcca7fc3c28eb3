"""The steps of the road as Prefect tasks: the four pure ones run as stages of DVC, the others meet the world."""

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

from pipelines import artifacts
from tiltyard.config import base_tasks, loader
from tiltyard.config.task import Task as TaskFile
from tiltyard.data import dvc
from tiltyard.errors import SourceError, WorkspaceError
from tiltyard.gate.verdict import Verdict
from tiltyard.registry.approve import approved
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

LOOK = 2.0  # seconds between two looks for somebody's word


def _may_pass(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Return whether a failure may be gone in a moment: a network's may, a wrong task file's does not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, SourceError | WorkspaceError | OSError)


# Prefect's own cache is off: what need not run again is DVC's to know.
ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
AGAIN: dict[str, Any] = {
    **ONCE,
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _may_pass,
}


@task(name="fetch", task_run_name="fetch {name}", **AGAIN)
def fetch(root: str, name: str) -> str:
    """Get raw data; say whether it is new, the same, or edited by hand."""
    from tiltyard.data.fetch import get

    workspace = Workspace(Path(root))
    return get(workspace, loader.load(workspace, name)).state


def _stage(verb: str) -> Task[..., Any]:
    """Make the Prefect task that runs one stage; an unchanged one is Completed, too, under the name Skipped."""

    @task(name=verb, task_run_name=f"{verb} {{name}}", **ONCE)
    def run(root: str, name: str, *, current: bool = False) -> Any:
        workspace = Workspace(Path(root))
        how = "skipped" if current else dvc.run_stage(workspace, verb, name, force=_stale(workspace, verb, name))
        if show := SHOWN.get(verb):
            show(workspace, name)
        if verb == "evaluate" and (how == "ran" or not (workspace.report / f"{name}.html").is_file()):
            artifacts.of_report(workspace, loader.load(workspace, name))
        return Completed(name="Skipped", data=how) if how == "skipped" else how

    return run


def _stale(workspace: Workspace, verb: str, name: str) -> bool:
    """Return whether DVC would skip what has to be done again."""
    return verb == "train" and base_tasks.is_stale(workspace, loader.load(workspace, name))


SHOWN: dict[str, Callable[[Workspace, str], None]] = {
    "validate": artifacts.of_validation,
    "evaluate": artifacts.of_evaluation,
}


@task(name="promote", task_run_name="promote {name}", **ONCE)
def promote(root: str, name: str) -> Verdict:
    """Judge the challenger; if it wins, package it, prove the package, and swap the pointer."""
    from tiltyard.gate.promote import promote as verb

    workspace = Workspace(Path(root))
    wanted = loader.load(workspace, name)
    verdict = verb(workspace, wanted)
    if lacks_only(verdict, "approval") and wanted.gate.approval_minutes and waited(workspace, wanted, verdict.version):
        verdict = verb(workspace, wanted)
    artifacts.of_verdict(name, verdict.verdict, verdict.reasons)
    if not verdict.told:
        artifacts.of_report(workspace, wanted)
    return verdict


def lacks_only(verdict: Verdict, code: str) -> bool:
    """Return whether one check alone stands in the way."""
    return [outcome.code for outcome in verdict.outcomes if outcome.state == "failed"] == [code]


def waited(workspace: Workspace, wanted: TaskFile, version: str) -> bool:
    """Wait for somebody's word, and say whether it came in time."""
    end, registry = time.monotonic() + 60 * wanted.gate.approval_minutes, Registry(workspace)
    while not (found := approved(registry, wanted, version)) and time.monotonic() < end:
        time.sleep(LOOK)
    return bool(found)


STEPS: dict[str, Task[..., Any]] = {"fetch": fetch, **{verb: _stage(verb) for verb in dvc.STAGES}, "promote": promote}


@task(name="push", task_run_name="push", **AGAIN)
def push(root: str) -> int:
    """Send every version to the default remote."""
    return dvc.push(Workspace(Path(root)))
