"""Tasks of a run in parallel: a task waits for its base task, an error stops no other task, an interrupt stops all."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from tiltyard.config import base_tasks, loader
from tiltyard.config.task import Task
from tiltyard.errors import TaskError
from tiltyard.pipelines.run_progress import RunProgress
from tiltyard.pipelines.task_order import longest_first
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.runtime import processes, threads
from tiltyard.workspace import Workspace

INTERRUPT_SECONDS = 10.0  # how long an interrupt waits for steps that cannot be ended, such as a download


def worker_count(names: list[str]) -> int:
    """Return how many of these tasks run at once: one for each core that this process may use."""
    return min(len(names), threads.cores())


def run_tasks(
    workspace: Workspace, names: list[str], display: RunProgress, run_task: Callable[[Task], TaskOutcome]
) -> list[TaskOutcome]:
    """Run a function for each task, the longest first, and return the rows; names are in training order."""
    futures: dict[str, Future[TaskOutcome]] = {}
    with _pool(worker_count(names), display) as pool:
        for name in longest_first(workspace, names, display.estimate):  # base tasks before those that wait for them
            if error := base_tasks.find_error(workspace, name):
                futures[name] = pool.submit(_invalid_task_file, name, display, error)
                continue
            task = loader.load(workspace, name)
            base = futures.get(task.model.base_task)
            # Prefect finds the flow that a task belongs to in the context, which threads do not inherit
            futures[name] = pool.submit(contextvars.copy_context().run, _run_after, base, run_task, task)
        return [futures[name].result() for name in names]


def _run_after(base: Future[TaskOutcome] | None, run_task: Callable[[Task], TaskOutcome], task: Task) -> TaskOutcome:
    """Run a task when its base task has ended."""
    if base:
        base.result()
    return run_task(task)


def _invalid_task_file(name: str, display: RunProgress, error: TaskError) -> TaskOutcome:
    """Return the row of a task whose file cannot be read; the other tasks go on."""
    row = TaskOutcome(name)
    row.fail("task file", error)
    display.fail(name, "task file", row.error)
    return row


@contextlib.contextmanager
def _pool(workers: int, display: RunProgress) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of threads; an interrupt cancels what waits and ends the stages that run."""
    pool = ThreadPoolExecutor(max(workers, 1))
    try:
        yield pool
    except BaseException:
        display.stopping.set()
        display.show_activity("stopping")
        pool.shutdown(wait=False, cancel_futures=True)
        processes.end_all()
        display.wait_until_idle(INTERRUPT_SECONDS)
        raise
    pool.shutdown()
