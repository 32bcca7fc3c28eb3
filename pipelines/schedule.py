"""Schedules: the road as a Prefect deployment that starts by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.schedules import Cron
from pydantic import ValidationError

from pipelines import server
from pipelines.road import road
from tiltyard import roster, task_file
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Schedule


def schedule(workspace: Workspace, names: list[str], cron: str, timezone: str = "UTC") -> None:
    """Serve the deployment until it is interrupted; each of its runs is a process of its own."""
    from prefect import serve

    server.wait()
    for name in names:
        roster.enter(workspace, name)  # a stage is made for it
    serve(deployment(workspace, names, cron, timezone))


def deployment(workspace: Workspace, names: list[str], cron: str, timezone: str = "UTC") -> RunnerDeployment:
    """Say when the road is to be run; a start that falls into a run that still goes on is left out."""
    clock = _clock(cron, timezone)
    for name in names:
        task_file.load(workspace, name)
    made = road.to_deployment(
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
