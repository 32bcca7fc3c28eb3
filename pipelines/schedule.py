"""Schedules: the pipeline, or the watch, as a Prefect deployment that starts at given times (cron)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from tiltyard import files
from tiltyard.config import loader, task_list
from tiltyard.errors import TiltyardError
from tiltyard.pipelines import schedule_runner, server
from tiltyard.pipelines.flow import pipeline_flow
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule

UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


def schedule(
    workspace: Workspace, names: list[str], clock: tuple[str, str], ready: Callable[[], None], flow: Any = pipeline_flow
) -> int:
    """Serve the deployment until a signal arrives; return the signal's number. Each run is a separate process.

    The clock is a cron expression with its time zone.
    """
    server.wait_until_ready()
    for name in names:
        task_list.add(workspace, name)  # so that DVC has stages for it
    runner_deployment = deployment(workspace, names, *clock, flow=flow)
    with _only(workspace, f"{flow.name}/{runner_deployment.name}"):
        if server.OWN_SERVER:  # with another server, unfinished runs may still be alive
            release(f"{flow.name}/{runner_deployment.name}")
        return schedule_runner.serve(runner_deployment, ready)


@contextlib.contextmanager
def _only(workspace: Workspace, name: str) -> Iterator[None]:
    """Hold the lock of this schedule, which only one process may serve; the lock of a process that died is free."""
    short = hashlib.sha256(name.encode()).hexdigest()[:12]  # the names of many tasks may be too long for a file name
    path = workspace.work_lock(f"schedule-{short}")
    with files.claimed(path) as claimed:
        if not claimed:
            hint = "end the other `tiltyard schedule` first; or start a run now: tiltyard run"
            raise TiltyardError(f"{name} is scheduled already by another process", hint)
        yield


def release(name: str) -> None:
    """Mark runs that died with their server, as in a power cut, as crashed, and free their concurrency slots."""
    with get_client(sync_client=True) as client:
        try:
            deployed = client.read_deployment_by_name(name)
        except ObjectNotFound:
            return
        unfinished = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployed.id])),
            flow_run_filter=FlowRunFilter(state=unfinished),
        )
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message="its process and its server ended"), force=True)
        if deployed.global_concurrency_limit:
            freed = GlobalConcurrencyLimitUpdate(active_slots=0)
            client.update_global_concurrency_limit(deployed.global_concurrency_limit.name, freed)


def deployment(
    workspace: Workspace, names: list[str], cron: str, timezone: str = "UTC", *, flow: Any = pipeline_flow
) -> RunnerDeployment:
    """Return the deployment of a flow for some tasks; a start during a running run is skipped."""
    clock = _clock(cron, timezone)
    for name in names:
        loader.load(workspace, name)
    runner_deployment = flow.to_deployment(
        name="-".join(names),
        parameters={"root": str(workspace.root), "names": names},
        schedule=clock,
        paused=False,  # the end of a schedule pauses it, so that no starts pile up
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        description=f"{', '.join(names)} at {cron} {timezone}",
        entrypoint_type=EntrypointType.MODULE_PATH,  # a project need not hold the code
    )
    return cast("RunnerDeployment", runner_deployment)


def _clock(cron: str, timezone: str) -> Schedule:
    """Return the Prefect schedule; raise TiltyardError if cron expression or time zone is invalid."""
    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        key = error.errors()[0]["loc"][0]
        expected, received = {
            "cron": ("minute, hour, day, month and weekday", cron),
            "timezone": ("a name such as UTC or Europe/Vienna", timezone),
        }[str(key)]
        raise TiltyardError(
            f"{key}: expected {expected}; received '{received}'",
            hint="every day at six: tiltyard schedule --cron '0 6 * * *' --timezone UTC TASK",
        ) from None
    return Cron(cron, timezone=timezone)
