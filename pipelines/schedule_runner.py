"""Prefect's runner with handling of signals: a signal ends the run in progress and pauses the deployment."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psutil
from prefect.runner import Runner

from tiltyard.errors import WorkspaceError
from tiltyard.pipelines import server

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE = 4.0  # seconds for a run to end by itself; then it is killed, and the next run resumes it
PATIENCE = 20.0  # seconds for the server to record the end
PAUSE = 0.2  # seconds between two checks


def serve(deployment: RunnerDeployment, ready: Callable[[], None]) -> int:
    """Serve a deployment until a signal arrives; return the signal's number."""
    return asyncio.run(_serve(deployment, ready))


class _Runner(Runner):
    """A runner that puts signals into a queue.

    Prefect's own handler of SIGTERM calls `stop` without awaiting it and raises SystemExit inside the event loop: runs
    stay recorded as running, some continue, and sometimes a thread of AnyIO waits forever, and the process with it.
    """

    def __init__(self, received: Callable[[int], None]) -> None:
        super().__init__()
        self._received = received

    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> None:
        """Handle SIGTERM like SIGINT."""
        self._received(signal.SIGTERM)


async def _serve(deployment: RunnerDeployment, ready: Callable[[], None]) -> int:
    with _signal_queue() as (signals, enqueue):
        runner = _Runner(enqueue)
        await runner.aadd_deployment(deployment)
        serving, signalled = asyncio.create_task(runner.start()), asyncio.create_task(signals.get())
        ready()
        await asyncio.wait({serving, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if not signalled.done():
            await serving  # raises the error that ended it
        await _end(runner, serving, signals)
        return signalled.result()


@contextlib.contextmanager
def _signal_queue() -> Iterator[tuple[asyncio.Queue[int], Callable[[int], None]]]:
    """Put signals into a queue during the block; afterwards a signal ends the process at once."""
    loop, signals = asyncio.get_running_loop(), asyncio.Queue[int]()

    def enqueue(number: int, _frame: object = None) -> None:
        loop.call_soon_threadsafe(signals.put_nowait, number)

    # processes that a shell starts in the background ignore SIGINT
    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, enqueue)
    try:
        yield signals, enqueue
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


async def _end(runner: Runner, serving: asyncio.Task[None], signals: asyncio.Queue[int]) -> None:
    """Cancel the run in progress; kill it after a second signal or when its time is up."""
    stopping, again = asyncio.create_task(_stop(runner, serving)), asyncio.create_task(signals.get())
    await asyncio.wait({stopping, again}, timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    try:
        async with asyncio.timeout(PATIENCE):
            while not (stopping.done() and serving.done()):
                _kill_runs()  # also one that began meanwhile
                await asyncio.wait({stopping, serving}, timeout=PAUSE)
            await stopping
            await serving
    except Exception as error:  # noqa: BLE001 - whatever a client may raise
        reason = str(error) or f"no response within {PATIENCE:g} seconds"
        hint = "when the server responds again, start and end the schedule once more, or starts pile up"
        raise WorkspaceError(f"Prefect's server did not record the end of the schedule: {reason}", hint) from None


async def _stop(runner: Runner, serving: asyncio.Task[None]) -> None:
    """Stop a runner, once it has started."""
    while not runner.started and not serving.done():  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(PAUSE)
    if runner.started:
        await runner.astop()


def _kill_runs() -> None:
    """Kill the processes of runs: all children of this process except its server."""
    own_server = {process.pid for process in server.OWN_SERVER}
    for child in psutil.Process().children():
        if child.pid not in own_server:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
