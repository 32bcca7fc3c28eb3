"""Schedules: deployments on a real Prefect server, signals and crashes, and settings that are refused locally."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from workspaces import ROOT, WITH_SIGINT, edit_task

from tiltyard.errors import TaskError, TiltyardError
from tiltyard.pipelines import schedule, schedule_runner
from tiltyard.pipelines.schedule import deployment
from tiltyard.workspace import Workspace


@pytest.mark.slow
def test_deployment_is_registered(project: Workspace) -> None:
    """The server has the flow, its parameters, the schedule with time zone, and the limit of one run at a time."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import ConcurrencyLimitStrategy
    from prefect.client.schemas.schedules import CronSchedule

    deployment(project, ["iris", "sine"], "0 6 * * *", "Europe/Vienna").apply()
    with get_client(sync_client=True) as client:
        deployed = client.read_deployment_by_name("road/iris-sine")
    (clock,) = deployed.schedules
    assert clock.schedule == CronSchedule(cron="0 6 * * *", timezone="Europe/Vienna")
    assert deployed.parameters == {"root": str(project.root), "names": ["iris", "sine"]}
    limit, options = deployed.global_concurrency_limit, deployed.concurrency_options
    assert limit
    assert options
    assert (limit.limit, options.collision_strategy) == (1, ConcurrencyLimitStrategy.CANCEL_NEW)


@pytest.mark.slow
def test_release_frees_the_slot_of_a_crashed_run(project: Workspace) -> None:
    """An unfinished run occupies the only slot, so another run is cancelled; after `release` the next run starts."""
    from prefect.client.orchestration import get_client
    from prefect.states import Pending, Running

    deployment(project, ["iris"], "0 6 * * *").apply()
    with get_client(sync_client=True) as client:
        deployed = client.read_deployment_by_name("road/iris")

        def start_run() -> tuple[Any, str]:
            run = client.create_flow_run_from_deployment(deployed.id)
            client.set_flow_run_state(run.id, Pending())
            if client.read_flow_run(run.id).state_name == "Pending":
                client.set_flow_run_state(run.id, Running())
            return run.id, str(client.read_flow_run(run.id).state_name)

        first, first_state = start_run()
        assert (first_state, start_run()[1]) == ("Running", "Cancelled")
        schedule.release("road/iris")
        assert client.read_flow_run(first).state_name == "Crashed"
        assert start_run()[1] == "Running"
        schedule.release("road/iris")


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.nightly
def test_schedule_starts_a_run(run_project: Workspace) -> None:
    """A real server starts a run at the next minute; when the command is stopped, its server stops, too."""
    command = [str(Path(sys.executable).with_name("tiltyard")), "schedule", "--cron", "* * * * *", "iris"]
    own = {**os.environ, "PREFECT_HOME": str(run_project.prefect)}
    with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        (server,) = _children(process, "tiltyard.pipelines.server")
        assert any("iris promote" in line for line in process.stderr)
        process.terminate()
        try:
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert not server.is_running()


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.nightly
def test_next_run_starts_after_a_power_cut(run_project: Workspace) -> None:
    """Server, flow and schedule are killed during a run; at the next start its slot is free."""
    with _run_schedule(run_project) as (process, url):
        first = _start_run(url, "RUNNING")
        for child in [*psutil.Process(process.pid).children(recursive=True), process]:
            os.kill(child.pid, signal.SIGKILL)
        process.wait()
    with _run_schedule(run_project) as (process, url):
        _wait_until(lambda: _state(url, first) == "CRASHED")
        _start_run(url, "COMPLETED")
        process.terminate()


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize(
    ("process_name", "signals"),
    [
        (None, [signal.SIGTERM]),
        ("prefect.engine", [signal.SIGTERM]),
        ("validate", [signal.SIGTERM]),
        ("validate", [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_signal_ends_the_schedule_and_its_run(
    workspace: Workspace, process_name: str | None, signals: list[int]
) -> None:
    """While idle, at the start of a run or during a long one: no process remains, and no run starts later."""
    for name in ("src", "pipelines"):
        (workspace.root / name).symlink_to(ROOT / name)
    edit_task(workspace, "iris", {"train.epochs": 100_000, "train.patience": None})
    with _run_schedule(workspace) as (process, url):
        if process_name:
            _request_run(url)
            _wait_until(lambda: any(process_name in child.cmdline() for child in _descendants(process)))
        started = _descendants(process)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.5)
        _, output = process.communicate(timeout=30)
    assert process.returncode == -signals[0]
    assert "Traceback" not in output
    assert "Warning" not in output
    _, remaining = psutil.wait_procs(started, timeout=10)
    assert [process for process in remaining if not _has_ended(process)] == []
    with contextlib.closing(sqlite3.connect(workspace.prefect / "prefect.db")) as database:
        assert database.execute("SELECT paused FROM deployment").fetchall() == [(1,)]
        states = database.execute("SELECT state_type FROM flow_run WHERE state_type != 'SCHEDULED'").fetchall()
    assert {state for (state,) in states} <= {"CANCELLED", "CRASHED"}
    assert len(states) == bool(process_name)


def test_server_that_does_not_record_the_end_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule ends anyway, and reports that the server did not record it."""
    monkeypatch.setattr(schedule_runner, "GRACE", 0.1)
    monkeypatch.setattr(schedule_runner, "PATIENCE", 0.3)
    killed: list[None] = []
    monkeypatch.setattr(schedule_runner, "_kill_runs", lambda: killed.append(None))

    async def ended() -> None:
        silent: Any = SimpleNamespace(started=True, astop=lambda: asyncio.sleep(60))
        await schedule_runner._end(silent, asyncio.create_task(asyncio.sleep(60)), asyncio.Queue())

    with pytest.raises(TiltyardError, match=r"did not record the end of the schedule: no response within 0\.3 seconds"):
        asyncio.run(ended())
    assert killed


def test_schedule_cannot_be_served_twice(workspace: Workspace) -> None:
    """A second schedule of the same tasks is refused, since their runs would cancel each other; other tasks are not."""
    refused = pytest.raises(TiltyardError, match="iris is scheduled already")
    with schedule._only(workspace, "iris"), schedule._only(workspace, "sine"), refused:
        schedule._only(workspace, "iris").__enter__()
    with schedule._only(workspace, "iris"):
        pass


_COMMAND = [*WITH_SIGINT, str(Path(sys.executable).with_name("tiltyard")), "schedule", "--cron", "0 0 1 1 *", "iris"]


def _environment(workspace: Workspace) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return {**inherited, "PREFECT_HOME": str(workspace.prefect)}


@contextlib.contextmanager
def _run_schedule(workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until its deployment is active; yield the process and the address of its server."""
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(_COMMAND, cwd=workspace.root, env=_environment(workspace), text=True, **streams) as process:
        try:
            (server,) = _children(process, "tiltyard.pipelines.server")
            url = f"http://127.0.0.1:{server.cmdline()[-1]}/api"
            _wait_until(lambda: _is_active(url))
            yield process, url
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(120)


def _is_active(url: str) -> bool:
    """Return whether the deployment is active, that is, no longer paused."""
    try:
        response = httpx.get(f"{url}/deployments/name/road/iris", timeout=5)
    except httpx.HTTPError:
        return False
    return response.status_code == 200 and not response.json()["paused"]


def _start_run(url: str, state: str) -> str:
    """Start a run now, wait until it has a given state, and return its id."""
    run = _request_run(url)
    _wait_until(lambda: _state(url, run) in (state, "CANCELLED", "CRASHED", "FAILED"))
    assert _state(url, run) == state
    return run


def _request_run(url: str) -> str:
    deployment = _request("GET", f"{url}/deployments/name/road/iris")["id"]
    request = {
        "state": {"type": "SCHEDULED"},
        "idempotency_key": uuid.uuid4().hex,
    }  # a repeated request creates one run only
    return str(_request("POST", f"{url}/deployments/{deployment}/create_flow_run", json=request)["id"])


def _state(url: str, run: str) -> str:
    return str(_request("GET", f"{url}/flow_runs/{run}")["state_type"])


def _request(method: str, url: str, **more: Any) -> Any:
    """Return the server's response; repeat the request while the server returns 503, because its database is busy."""
    for _ in range(60):
        response = httpx.request(method, url, timeout=30, **more)
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(1)
    return response.raise_for_status().json()


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240  # a busy machine; it takes a tenth of that
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended; a busy system collects the status of orphans late."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return all descendants of a process, except those that have just ended."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if psutil.pid_exists(child.pid) and child.status() != psutil.STATUS_ZOMBIE]


def _children(process: subprocess.Popen[str], process_name: str) -> list[psutil.Process]:
    """Wait for the children of a process that have a word in their command line."""
    while process.poll() is None:
        if children := [child for child in psutil.Process(process.pid).children() if process_name in child.cmdline()]:
            return children
        time.sleep(0.1)
    return []


@pytest.mark.parametrize(
    ("cron", "timezone", "message"),
    [
        ("every day", "UTC", "cron: expected minute, hour, day, month and weekday; received 'every day'"),
        ("61 6 * * *", "UTC", "cron: expected"),
        ("0 6 * * *", "Mars", "timezone: expected a name such as UTC or Europe/Vienna; received 'Mars'"),
    ],
)
def test_invalid_cron_or_timezone_is_refused(workspace: Workspace, cron: str, timezone: str, message: str) -> None:
    """The message says what was expected and what was received."""
    with pytest.raises(TiltyardError, match=message):
        deployment(workspace, ["iris"], cron, timezone)


def test_unknown_task_is_refused(workspace: Workspace) -> None:
    """An unknown task is refused before anything is registered."""
    with pytest.raises(TaskError, match="no task 'rose'"):
        deployment(workspace, ["rose"], "0 6 * * *")
