"""Schedules: the road as a Prefect deployment that starts by the clock."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

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
from pydantic import ValidationError

from pipelines import runner, server
from pipelines.flow import pipeline_flow
from tiltyard import files
from tiltyard.config import loader, task_list
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule

UNFINISHED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


def schedule(workspace: Workspace, names: list[str], cron: str, timezone: str, ready: Callable[[], None]) -> int:
    """Serve the deployment until a signal comes, and return its number; each run is a process of its own."""
    server.wait_until_ready()
    for name in names:
        task_list.add(workspace, name)  # a stage is made for it
    made = deployment(workspace, names, cron, timezone)
    with _only(workspace, str(made.name)):
        if server.OWN_SERVER:  # on another one they may be alive
            release(str(made.name))
        return runner.serve(made, ready)


@contextlib.contextmanager
def _only(workspace: Workspace, name: str) -> Iterator[None]:
    """Be the only one who starts these tasks by the clock; the system frees the lock of one that died."""
    short = hashlib.sha256(name.encode()).hexdigest()[:12]  # many names are longer than a file's may be
    path = workspace.work_lock(f"schedule-{short}")
    with files.claimed(path) as mine:
        if not mine:
            hint = "end the other `tiltyard schedule` first; a run that must not wait for the clock: tiltyard run"
            raise TiltyardError(f"{name} is scheduled already, by another process", hint)
        yield


def release(name: str) -> None:
    """Let go of what runs held that ended with their server, as in a power cut: nobody starts this deployment now."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(f"road/{name}")
        except ObjectNotFound:
            return
        unfinished = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED))
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[found.id])),
            flow_run_filter=FlowRunFilter(state=unfinished),
        )
        for run in runs:
            client.set_flow_run_state(run.id, Crashed(message="its process and its server ended"), force=True)
        if found.global_concurrency_limit:
            freed = GlobalConcurrencyLimitUpdate(active_slots=0)
            client.update_global_concurrency_limit(found.global_concurrency_limit.name, freed)


def deployment(workspace: Workspace, names: list[str], cron: str, timezone: str = "UTC") -> RunnerDeployment:
    """Return when the road is to be run; a start that falls into a run that still goes on is left out."""
    clock = _clock(cron, timezone)
    for name in names:
        loader.load(workspace, name)
    made = pipeline_flow.to_deployment(
        name="-".join(names),
        parameters={"root": str(workspace.root), "names": names},
        schedule=clock,
        paused=False,  # ended, it leaves the deployment paused, so that no starts pile up
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        description=f"{', '.join(names)} at {cron} {timezone}",
    )
    return cast("RunnerDeployment", made)


def _clock(cron: str, timezone: str) -> Schedule:
    """Refuse a time that cannot be meant now, not when the server meets it."""
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
