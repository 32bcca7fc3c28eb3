"""Schedules: what a real Prefect server knows of a deployment, and what is refused before it is asked."""

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

from pipelines import schedule, schedule_runner
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
def test_the_place_of_a_run_that_ended_with_its_server_is_free(project: Workspace) -> None:
    """A run that is known as unfinished holds the one place, and a start is cancelled; once released, one is not."""
    from prefect.client.orchestration import get_client
    from prefect.states import Pending, Running

    deployment(project, ["iris"], "0 6 * * *").apply()
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name("road/iris")

        def begun() -> tuple[Any, str]:
            run = client.create_flow_run_from_deployment(found.id)
            client.set_flow_run_state(run.id, Pending())
            if client.read_flow_run(run.id).state_name == "Pending":
                client.set_flow_run_state(run.id, Running())
            return run.id, str(client.read_flow_run(run.id).state_name)

        first, told = begun()
        assert (told, begun()[1]) == ("Running", "Cancelled")
        schedule.release("iris")
        assert client.read_flow_run(first).state_name == "Crashed"
        assert begun()[1] == "Running"
        schedule.release("iris")


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.nightly
def test_the_clock_starts_a_run(run_project: Workspace) -> None:
    """A real server starts a real run at the next minute; told to stop, the command takes its server along."""
    (run_project.root / "pipelines").symlink_to(ROOT / "pipelines")  # a flow is known by the file that it stands in
    command = [str(Path(sys.executable).with_name("tiltyard")), "schedule", "--cron", "* * * * *", "iris"]
    own = {**os.environ, "PREFECT_HOME": str(run_project.prefect)}
    with subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        (server,) = _children(process, "pipelines.server")
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
def test_after_a_power_cut_the_next_run_starts(run_project: Workspace) -> None:
    """Server, flow and schedule are killed while a run goes on; the place that it held is free at the next start."""
    (run_project.root / "pipelines").symlink_to(ROOT / "pipelines")
    with _scheduling(run_project) as (process, url):
        first = _begun(url, "RUNNING")
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            os.kill(one.pid, signal.SIGKILL)
        process.wait()
    with _scheduling(run_project) as (process, url):
        _until(lambda: _state(url, first) == "CRASHED")
        _begun(url, "COMPLETED")
        process.terminate()


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.parametrize(
    ("word", "sent"),
    [
        (None, [signal.SIGTERM]),
        ("prefect.engine", [signal.SIGTERM]),
        ("validate", [signal.SIGTERM]),
        ("validate", [signal.SIGINT, signal.SIGINT]),
    ],
)
def test_a_signal_ends_the_schedule_and_its_run(workspace: Workspace, word: str | None, sent: list[int]) -> None:
    """Idle, as a run begins, or later in a run of hours: no process is left behind, and nothing starts later."""
    for name in ("src", "pipelines"):
        (workspace.root / name).symlink_to(ROOT / name)
    edit_task(workspace, "iris", {"train.epochs": 100_000, "train.patience": None})
    with _scheduling(workspace) as (process, url):
        if word:
            _ask_for_run(url)
            _until(lambda: any(word in child.cmdline() for child in _descendants(process)))
        started = _descendants(process)
        for number in sent:
            process.send_signal(number)
            time.sleep(0.5)
        _, said = process.communicate(timeout=30)
    assert process.returncode == -sent[0]
    assert "Traceback" not in said
    assert "Warning" not in said
    _, left = psutil.wait_procs(started, timeout=10)
    assert left == []
    with contextlib.closing(sqlite3.connect(workspace.prefect / "prefect.db")) as database:
        assert database.execute("SELECT paused FROM deployment").fetchall() == [(1,)]
        states = database.execute("SELECT state_type FROM flow_run WHERE state_type != 'SCHEDULED'").fetchall()
    assert {state for (state,) in states} <= {"CANCELLED", "CRASHED"}
    assert len(states) == bool(word)


def test_a_server_that_does_not_note_the_end_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schedule ends all the same, and says what is left to do."""
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


def test_a_schedule_is_served_once(workspace: Workspace) -> None:
    """A second one of the same tasks is refused: their runs would cancel each other; other tasks are free."""
    refused = pytest.raises(TiltyardError, match="iris is scheduled already")
    with schedule._only(workspace, "iris"), schedule._only(workspace, "sine"), refused:
        schedule._only(workspace, "iris").__enter__()
    with schedule._only(workspace, "iris"):
        pass


_COMMAND = [*WITH_SIGINT, str(Path(sys.executable).with_name("tiltyard")), "schedule", "--cron", "0 0 1 1 *", "iris"]


def _own(workspace: Workspace) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return {**kept, "PREFECT_HOME": str(workspace.prefect)}


@contextlib.contextmanager
def _scheduling(workspace: Workspace) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until its deployment is there; yield it with the address of its server."""
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(_COMMAND, cwd=workspace.root, env=_own(workspace), text=True, **streams) as process:
        try:
            (server,) = _children(process, "pipelines.server")
            url = f"http://127.0.0.1:{server.cmdline()[-1]}/api"
            _until(lambda: _ready(url))
            yield process, url
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(120)


def _ready(url: str) -> bool:
    """Return whether the deployment is served: it is not paused any more."""
    try:
        found = httpx.get(f"{url}/deployments/name/road/iris", timeout=5)
    except httpx.HTTPError:
        return False
    return found.status_code == 200 and not found.json()["paused"]


def _begun(url: str, state: str) -> str:
    """Have a run started now, and wait until it is in a state; give its id."""
    run = _ask_for_run(url)
    _until(lambda: _state(url, run) in (state, "CANCELLED", "CRASHED", "FAILED"))
    assert _state(url, run) == state
    return run


def _ask_for_run(url: str) -> str:
    deployment = _asked("GET", f"{url}/deployments/name/road/iris")["id"]
    wanted = {"state": {"type": "SCHEDULED"}, "idempotency_key": uuid.uuid4().hex}  # asked twice, it is one run
    return str(_asked("POST", f"{url}/deployments/{deployment}/create_flow_run", json=wanted)["id"])


def _state(url: str, run: str) -> str:
    return str(_asked("GET", f"{url}/flow_runs/{run}")["state_type"])


def _asked(method: str, url: str, **more: Any) -> Any:
    """Return what the server answers; it answers 503 while its database is busy, and is then asked again."""
    for _ in range(60):
        answer = httpx.request(method, url, timeout=30, **more)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(1)
    return answer.raise_for_status().json()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240  # a busy machine; it takes a tenth of that
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return what a process has started, and what that has started; not what ends as one looks."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if psutil.pid_exists(one.pid) and one.status() != psutil.STATUS_ZOMBIE]


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
