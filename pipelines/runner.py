"""Prefect's runner, stopped by a signal: the run in progress ends with it, and the deployment is paused."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import psutil
from prefect.runner import Runner

from pipelines import server
from tiltyard.errors import WorkspaceError

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE = 4.0  # seconds for a run to end by itself; then it is killed, and the next one goes on where it was
PATIENCE = 20.0  # seconds for the server to note the end
PAUSE = 0.2  # seconds between two looks


def serve(made: RunnerDeployment, ready: Callable[[], None]) -> int:
    """Serve a deployment until a signal comes; return its number."""
    return asyncio.run(_serve(made, ready))


class _Runner(Runner):
    """A runner that puts signals in a queue.

    Prefect's own handler of SIGTERM calls `stop` without awaiting it and raises SystemExit in the midst of the loop:
    runs stay noted as running, some go on, and now and then a thread of AnyIO waits for ever, and the process for it.
    """

    def __init__(self, heard: Callable[[int], None]) -> None:
        super().__init__()
        self._heard = heard

    def handle_sigterm(self, *_args: Any, **_kwargs: Any) -> None:
        """Do what is done for SIGINT, too."""
        self._heard(signal.SIGTERM)


async def _serve(made: RunnerDeployment, ready: Callable[[], None]) -> int:
    with _hearing() as (told, hear):
        runner = _Runner(hear)
        await runner.aadd_deployment(made)
        serving, signalled = asyncio.create_task(runner.start()), asyncio.create_task(told.get())
        ready()
        await asyncio.wait({serving, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if not signalled.done():
            await serving  # raises why it ended
        await _end(runner, serving, told)
        return signalled.result()


@contextlib.contextmanager
def _hearing() -> Iterator[tuple[asyncio.Queue[int], Callable[[int], None]]]:
    """Have signals put in a queue; after that, one ends the process at once."""
    loop, told = asyncio.get_running_loop(), asyncio.Queue[int]()

    def hear(number: int, _frame: object = None) -> None:
        loop.call_soon_threadsafe(told.put_nowait, number)

    # a shell has what it starts in the background ignore SIGINT
    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, hear)
    try:
        yield told, hear
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


async def _end(runner: Runner, serving: asyncio.Task[None], told: asyncio.Queue[int]) -> None:
    """Cancel the run in progress; a second signal, or the end of its time, kills it."""
    stopping, again = asyncio.create_task(_stop(runner, serving)), asyncio.create_task(told.get())
    await asyncio.wait({stopping, again}, timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    try:
        async with asyncio.timeout(PATIENCE):
            while not (stopping.done() and serving.done()):
                _kill_runs()  # one that began as it was stopped, too
                await asyncio.wait({stopping, serving}, timeout=PAUSE)
            await stopping
            await serving
    except Exception as error:  # noqa: BLE001 - whatever a client may raise
        reason = str(error) or f"no answer within {PATIENCE:g} seconds"
        hint = "start the schedule again when the server answers, and end it: else starts pile up there"
        raise WorkspaceError(f"Prefect's server did not note the end of the schedule: {reason}", hint) from None


async def _stop(runner: Runner, serving: asyncio.Task[None]) -> None:
    """Stop a runner, which must have started for that."""
    while not runner.started and not serving.done():  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(PAUSE)
    if runner.started:
        await runner.astop()


def _kill_runs() -> None:
    """Kill the processes of runs: all that this one has started, but its server."""
    kept = {process.pid for process in server.OWN_SERVER}
    for child in psutil.Process().children():
        if child.pid not in kept:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
