"""Progress of a run: a table of tasks and steps on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

from tiltyard.errors import TiltyardError
from tiltyard.pipelines.estimate import Estimate
from tiltyard.pipelines.progress_table import ProgressTable
from tiltyard.pipelines.task_progress import TaskProgress
from tiltyard.pipelines.terminal import Screen, can_rewrite
from tiltyard.runtime import environment, processes
from tiltyard.runtime.progress import QUIET, SECONDS_A_LINE, VERBOSE
from tiltyard.workspace import Workspace

REFRESH_SECONDS = 0.5  # seconds between two updates of the table


class RunProgress:
    """Shows the progress of tasks; it is thread-safe. Other output goes to the log of the run meanwhile."""

    def __init__(self, workspace: Workspace, names: list[str], steps: tuple[str, ...], workers: int = 1) -> None:
        self.workspace, self.steps = workspace, steps
        self.tasks = {name: TaskProgress(name) for name in names}
        self.estimate = Estimate(workspace, steps, workers)
        self.stopping = threading.Event()  # set: no further step begins
        self.activity = ""  # what the run does while no task runs
        self._lock, self._closed = threading.RLock(), threading.Event()
        self._last_printed: dict[str, float] = {}
        self._stack = contextlib.ExitStack()
        self._screen: Screen | None = None

    def __enter__(self) -> Self:
        """Redirect other output and start drawing the table."""
        self._erase_at_end = bool(sys.stdout and sys.stdout.isatty())  # the results follow on the same terminal
        self.stream: TextIO = self._stack.enter_context(environment.redirect_output(self.workspace.log("run")))
        if can_rewrite(self.stream) and not {QUIET, VERBOSE} & os.environ.keys():
            self._screen = Screen(self.stream)
            self._table = ProgressTable(self.steps, self.stream.encoding)
            self._thread = threading.Thread(target=self._redraw, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing; erase the table if the table of results follows."""
        self._closed.set()
        if self._screen:
            self._thread.join(2 * REFRESH_SECONDS)
            with self._lock:
                self._draw()
                if self._erase_at_end:
                    self._screen.erase()
        self.estimate.save()
        self._stack.close()

    def begin(self, name: str, step: str) -> None:
        """Show that a step of a task begins."""
        with self._lock:
            self.tasks[name].begin(step, time.monotonic())

    def end(self, name: str, step: str, state: str) -> None:
        """Show that a step succeeded; the last step ends the task."""
        with self._lock:
            task, now = self.tasks[name], time.monotonic()
            task.end(step, state, now)
            self.estimate.record(name, step, state, task.seconds[step])
            if len(task.steps) == len(self.steps):
                task.finish(now)
            if VERBOSE in os.environ and state == "ran":
                self._print("\n".join(processes.log_lines(self.workspace, step, name)))
            self._print(f"{name} {step} {state} {task.seconds[step]:.1f} s")

    def fail(self, name: str, step: str, error: str) -> None:
        """Show that a task failed in a step."""
        with self._lock:
            self.tasks[name].finish(time.monotonic(), stopped=step)
            self._print(f"{name} {step} failed: {error}")

    def note(self, name: str, text: str) -> None:
        """Show the progress of a step or what it waits for; raise if the run was interrupted meanwhile."""
        if self.stopping.is_set():
            raise TiltyardError(f"{name}: interrupted")
        with self._lock:
            task, now = self.tasks[name], time.monotonic()
            changed, task.note = text not in ("", task.note), text
            if changed and now - self._last_printed.get(name, -SECONDS_A_LINE) >= SECONDS_A_LINE:
                self._last_printed[name] = now
                self._print(f"{name} {task.step}: {text}".replace(" :", ":"))

    def show_activity(self, activity: str) -> None:
        """Show what the run does while no task runs."""
        with self._lock:
            self.activity = activity

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until no step runs, for at most this many seconds."""
        end = time.monotonic() + seconds
        while any(task.step for task in self.tasks.values()) and time.monotonic() < end:
            time.sleep(0.05)

    def _print(self, line: str) -> None:
        """Print a line, unless a table is shown or no progress is wanted."""
        if not self._screen and QUIET not in os.environ:
            self.stream.write(f"{line}\n")
            self.stream.flush()

    def _redraw(self) -> None:
        """Redraw the table at intervals with the progress of trainings."""
        while not self._closed.is_set():
            with self._lock:
                for task in self.tasks.values():
                    if task.step == "train":
                        task.update_training(self.workspace.state(task.name, "train"), time.monotonic())
                self._draw()
            self._closed.wait(REFRESH_SECONDS)

    def _draw(self) -> None:
        if self._screen:
            size = self._screen.size()
            tasks = list(self.tasks.values())
            self._screen.draw(self._table.lines(tasks, self.estimate, time.monotonic(), size, self.activity))
