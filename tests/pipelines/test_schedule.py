"""Schedules: what a real Prefect server knows of a deployment, and what is refused before it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from making import ROOT

from pipelines.schedule import deployment
from tiltyard.errors import TaskError, TiltyardError
from tiltyard.workspace import Workspace


@pytest.mark.slow
def test_a_deployment_is_registered(project: Workspace) -> None:
    """The server has flow, parameters, clock with time zone, and the limit of one run at a time."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy
    from prefect.client.schemas.schedules import CronSchedule

    deployment(project, ["iris", "sine"], "0 6 * * *", "Europe/Vienna").apply()
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("road/iris-sine")
    (clock,) = found.schedules
    assert clock.schedule == CronSchedule(cron="0 6 * * *", timezone="Europe/Vienna")
    assert found.parameters == {"root": str(project.root), "names": ["iris", "sine"]}
    limit, options = found.global_concurrency_limit, found.concurrency_options
    assert limit
    assert options
    assert (limit.limit, options.collision_strategy) == (1, ConcurrencyLimitStrategy.CANCEL_NEW)


@pytest.mark.slow
@pytest.mark.smoke
def test_the_clock_starts_a_run(travelled: Workspace) -> None:
    """A real server starts a real run at the next minute; told to stop, the command takes its server along."""
    (travelled.root / "pipelines").symlink_to(ROOT / "pipelines")  # a flow is known by the file that it stands in
    command = [str(Path(sys.executable).with_name("tiltyard")), "schedule", "--cron", "* * * * *", "iris"]
    own = {**os.environ, "PREFECT_HOME": str(travelled.prefect)}
    with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        (server,) = _children(process, "pipelines.server")
        assert any("iris promote" in line for line in process.stderr)
        process.terminate()  # not SIGINT, which a shell in the background has its children ignore
        try:
            process.communicate(timeout=180)
        finally:
            process.kill()
    assert not server.is_running()


def _children(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """Wait for the children of a process that have a word in their command line."""
    while process.poll() is None:
        if found := [child for child in psutil.Process(process.pid).children() if word in child.cmdline()]:
            return found
        time.sleep(0.1)
    return []


@pytest.mark.parametrize(
    ("cron", "timezone", "said"),
    [
        ("every day", "UTC", "cron: expected minute, hour, day, month and weekday; received 'every day'"),
        ("61 6 * * *", "UTC", "cron: expected"),
        ("0 6 * * *", "Mars", "timezone: expected a name such as UTC or Europe/Vienna; received 'Mars'"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(workspace: Workspace, cron: str, timezone: str, said: str) -> None:
    """The message says what was expected and what was received."""
    with pytest.raises(TiltyardError, match=said):
        deployment(workspace, ["iris"], cron, timezone)


def test_an_unknown_task_is_refused(workspace: Workspace) -> None:
    """Before anything is registered."""
    with pytest.raises(TaskError, match="no task 'rose'"):
        deployment(workspace, ["rose"], "0 6 * * *")
